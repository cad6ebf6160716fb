// `npm run bench -- OTHER [--bardo PATH] [--loads a,b] [--runs N] [--each]`: the same loads with Bardo and with another
// criu-compatible program, in turns; medians and ratios as a Markdown table. How to read it: docs/performance.md.
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  truncateSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { Load, KINDS, adoptOrphans, compile, type LoadKind } from './load.ts'

const USAGE = `Usage: npm run bench -- OTHER [--bardo PATH] [--loads ${KINDS.map(({ name }) => name).join(',')}] [--runs N] [--each]`
const COMMAND_SECONDS = 60
const LARGE_BYTES = 1 << 20

/** What one run of one program with one load gives. */
type Figures = { stop: number; dump: number; restore: number; image: number; dumpPeak: number; restorePeak: number }

const FIGURES: readonly { key: keyof Figures; title: string; digits: number }[] = [
  { key: 'stop', title: 'longest stop, ms', digits: 1 },
  { key: 'dump', title: 'dump, ms', digits: 1 },
  { key: 'restore', title: 'restore, ms', digits: 1 },
  { key: 'image', title: 'images, MB', digits: 2 },
  { key: 'dumpPeak', title: 'peak of dump, MB', digits: 1 },
  { key: 'restorePeak', title: 'peak of restore, MB', digits: 1 },
]

const directory = mkdtempSync(join(tmpdir(), 'bardo-bench-'))
let running: Load | undefined

async function cleanUp(): Promise<void> {
  try {
    await running?.end()
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

/**
 * Runs a command of the program; its time in ms and the peak of its memory in MB. Throws, with the log's errors, when it
 * fails. `megabytes` are written and deleted before (loads/timed.c says why).
 */
async function timed(
  program: string,
  args: readonly string[],
  images: string,
  megabytes: number,
): Promise<{ ms: number; peak: number }> {
  const output = join(images, 'output')
  const line = [join(directory, 'timed'), String(COMMAND_SECONDS), String(megabytes), output]
  line.push(program, ...args, '-D', images, '-o', 'log')
  const child = Bun.spawn(line, { stdin: 'ignore', stdout: 'pipe', stderr: 'inherit' })
  const [status, ns, kilobytes] = (await child.stdout.text()).split(' ').map(Number) as [number, number, number]
  await child.exited
  if (status !== 0) {
    const said = [join(images, 'log'), output].flatMap(path => {
      try {
        return readFileSync(path, 'utf8')
          .split('\n')
          .filter(text => text.includes('Error'))
      } catch {
        return []
      }
    })
    const why = status === 137 ? `killed, after ${COMMAND_SECONDS} s or from outside` : `status ${status}`
    throw new Error([`${program}: ${args[0]} failed: ${why}`, ...said.slice(0, 3)].join('\n    '))
  }
  return { ms: ns / 1e6, peak: kilobytes / 1024 }
}

function imageMegabytes(images: string): number {
  const names = readdirSync(images).filter(name => name.endsWith('.img'))
  return names.reduce((sum, name) => sum + statSync(join(images, name)).size, 0) / 1e6
}

let folders = 0

/** A new, empty folder for images. */
function newFolder(): string {
  const folder = join(directory, `images-${folders++}`)
  mkdirSync(folder)
  return folder
}

/**
 * Gives the room of a folder's large files back. The small ones stay until the end: ext4 does not take the inodes of files
 * deleted within the last minute, and looks at all of them again for every file that is created.
 */
function empty(folder: string): void {
  for (const name of readdirSync(folder)) {
    const path = join(folder, name)
    if (statSync(path).size > LARGE_BYTES) truncateSync(path)
  }
}

async function measure(program: string, kind: LoadKind): Promise<Figures> {
  const live = [newFolder(), newFolder()]
  const whole = newFolder()
  const run = (images: string, ...args: string[]): ReturnType<typeof timed> =>
    timed(program, args, images, kind.megabytes)
  const load = (running = new Load(kind, directory))
  try {
    let stop = 0
    // The first dump is not counted, for the same reason as that of loads/timed.c: it meets memory that was long free.
    for (let turn = 0; turn < 2; turn++) {
      await load.check()
      await load.newRound()
      await sleep(20)
      await run(live[turn]!, 'dump', '-t', String(load.pid), '--leave-running')
      await sleep(20)
      stop = load.longestGap()
      empty(live[turn]!)
    }
    await load.check()

    const dumped = await run(whole, 'dump', '-t', String(load.pid))
    await load.gone()
    const image = imageMegabytes(whole)
    const restored = await run(whole, 'restore', '-d')
    await load.check()
    return { stop, dump: dumped.ms, restore: restored.ms, image, dumpPeak: dumped.peak, restorePeak: restored.peak }
  } finally {
    running = undefined
    await load.end()
    for (const folder of [...live, whole]) empty(folder)
  }
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

/** Measures both in turns, the one that begins changing too. The first turn warms up and is not counted. */
async function compare(kind: LoadKind, bardo: string, other: string, runs: number, each: boolean): Promise<void> {
  const measured = new Map<string, Figures[]>([
    [bardo, []],
    [other, []],
  ])
  for (let run = 0; run <= runs; run++) {
    for (const program of run % 2 === 0 ? [bardo, other] : [other, bardo]) {
      const figures = await measure(program, kind)
      if (run > 0) measured.get(program)!.push(figures)
      if (each)
        console.error(
          `${kind.name} run ${run} ${program}: ${FIGURES.map(({ key }) => figures[key].toFixed(1)).join(' ')}`,
        )
    }
  }
  for (const { key, title, digits } of FIGURES) {
    const [ours, theirs] = [bardo, other].map(program => median(measured.get(program)!.map(figures => figures[key])))
    const cells = [kind.title, title, ours!.toFixed(digits), theirs!.toFixed(digits), (ours! / theirs!).toFixed(2)]
    console.log(`| ${cells.join(' | ')} |`)
  }
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    args: Bun.argv.slice(2),
    options: {
      bardo: { type: 'string' },
      loads: { type: 'string' },
      runs: { type: 'string', default: '5' },
      each: { type: 'boolean', default: false },
    },
    allowPositionals: true,
  })
  const names = values.loads?.split(',') ?? KINDS.map(({ name }) => name)
  const kinds = names.map(name => KINDS.find(kind => kind.name === name))
  const runs = Number(values.runs)
  if (positionals.length !== 1 || kinds.includes(undefined) || !(Number.isInteger(runs) && runs > 0)) {
    console.error(USAGE)
    return 1
  }
  const bardo = Bun.which(values.bardo ?? join(import.meta.dir, '../dist/bardo'))
  const other = Bun.which(positionals[0]!)
  if (bardo === null || other === null) {
    console.error(
      bardo === null
        ? "there is no Bardo to measure: 'npm run build' makes dist/bardo"
        : `no program ${positionals[0]}`,
    )
    return 1
  }
  // A copy, so that a build meanwhile does not change what is measured.
  const ours = join(directory, 'bardo')
  copyFileSync(bardo, ours)
  adoptOrphans()
  compile(directory)
  console.log(`Medians of ${runs} runs each, in turns; ratio: Bardo / other.\n`)
  console.log('| load | figure | Bardo | other | ratio |\n| --- | --- | ---: | ---: | ---: |')
  let failed = 0
  for (const kind of kinds) {
    try {
      await compare(kind!, ours, other, runs, values.each)
    } catch (error) {
      failed++
      console.log(`| ${kind!.title} | failed | | | |`)
      console.error(`${kind!.title}: ${error instanceof Error ? error.message : String(error)}`)
    }
  }
  return failed === 0 ? 0 : 1
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
  process.on(signal, () => void cleanUp().finally(() => process.exit(1)))
let status = 1
try {
  status = await main()
} finally {
  await cleanUp()
}
process.exit(status)
