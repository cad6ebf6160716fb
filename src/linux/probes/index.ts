// What we ask of the kernel, by name: the list behind `check`, and behind what a kind says it needs.
import { perRun } from '../../base/run.ts'
import { files } from './files.ts'
import { memory } from './memory.ts'
import { namespaces } from './namespaces.ts'
import { network } from './network.ts'
import type { Missing, Probe } from './probe.ts'
import { tasks } from './tasks.ts'

export type { Missing, Probe } from './probe.ts'

export const PROBES: readonly Probe[] = [...tasks, ...memory, ...files, ...namespaces, ...network]

export const findProbe = (name: string): Probe | undefined => PROBES.find(probe => probe.name === name)

const answers = perRun(() => new Map<string, Missing>())

/** The answer of a probe, tried once a run: kernels do not change under us, but they do between boots. */
export function probe(name: string): Missing {
  if (answers().has(name)) return answers().get(name)
  const found = findProbe(name)
  if (found === undefined) throw new RangeError(`there is no probe "${name}"`)
  const missing = attempt(found)
  answers().set(name, missing)
  return missing
}

/** Runs a probe; what it throws is an answer too. */
export function attempt({ run }: Probe): Missing {
  try {
    return run()
  } catch (thrown) {
    return thrown instanceof Error ? thrown.message : String(thrown)
  }
}
