// The command `check`: tells by probes whether this kernel has what is needed, in CRIU's words and exit status.
import { BardoError } from '../base/errors.ts'
import { log } from '../base/log.ts'
import { attempt, findProbe, PROBES, type Probe } from '../linux/probes/index.ts'
import { closest } from './getopt.ts'
import { openPlaces, print } from './host.ts'
import { checkOptions, type CommandLine } from './parse.ts'

const GOOD = 'Looks good.\n'
const BAD = 'Does not look good.\n'
const GOOD_BUT =
  'Looks good but some kernel features are missing\nwhich, depending on your process tree, may cause\ndump or restore failure.\n'

function named(name: string): Probe {
  const found = findProbe(name)
  if (found !== undefined) return found
  const names = PROBES.map(probe => probe.name)
  const near = closest(name, names)
  throw new BardoError('usage', `Unknown feature ${name}`, {
    why: near.length > 0 ? `did you mean ${near.join(' or ')}?` : undefined,
    hint: `the features are ${names.join(', ')}`,
  })
}

/** Logs what is missing, at the level of a warning; whether it is there. */
function there(probe: Probe): boolean {
  const missing = attempt(probe)
  if (missing === undefined) log.info(`${probe.name} is supported: ${probe.tests}`)
  else
    log.warn(
      'check',
      `${probe.name} is not supported: ${missing}; since Linux ${probe.since}; without it, ${probe.without}`,
    )
  return missing === undefined
}

export async function run(line: CommandLine): Promise<number> {
  const { features, extra, experimental } = checkOptions(line)
  const asked = features.map(named)
  openPlaces(line)
  if (asked.length > 0) {
    // All of them are told, not only the first that is missing.
    const found = asked.filter(probe => there(probe))
    for (const probe of found) print(`${probe.name} is supported\n`)
    return found.length === asked.length ? 0 : 1
  }
  const of = (level: Probe['level']): Probe[] => PROBES.filter(probe => probe.level === level)
  const lost = of('required').filter(probe => !there(probe))
  if (lost.length > 0) {
    print(BAD)
    return 1
  }
  const others = [...(extra ? of('extra') : []), ...(experimental ? of('experimental') : [])]
  const complete = others.map(probe => there(probe)).every(Boolean)
  print(complete ? GOOD : GOOD_BUT)
  return complete ? 0 : 1
}
