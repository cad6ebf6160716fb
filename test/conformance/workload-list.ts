// The workloads: what the head comments in test/workloads/*.c say of them, and their building.
import { mkdirSync, readdirSync, readFileSync, renameSync, statSync } from 'node:fs'
import { join } from 'node:path'

export const projectRoot = join(import.meta.dir, '..', '..')
export const workloadFolder = join(projectRoot, 'test', 'workloads')

/** What may differ between two looks at a workload though nothing is wrong. */
export type Moves = 'registers' | 'tree'

export interface Workload {
  readonly name: string
  readonly source: string
  /** `fd/pipe`: the kinds that it exercises. */
  readonly kinds: readonly string[]
  readonly compilerFlags: readonly string[]
  readonly moves: ReadonlySet<Moves>
  /** Why it is not run with the others, but by a test of its own. */
  readonly alone?: string
}

const words = (text: string | undefined): string[] => (text ?? '').split(/\s+/).filter(word => word !== '')

function parse(file: string): Workload {
  const source = join(workloadFolder, file)
  const told = new Map<string, string>()
  for (const line of readFileSync(source, 'utf8').split('\n')) {
    if (!line.startsWith('//')) break
    const match = /^\/\/ (kinds|cc|moves|alone): (.*)$/.exec(line)
    if (match) told.set(match[1]!, match[2]!)
  }
  const alone = told.get('alone')
  return {
    name: file.replace(/\.c$/, ''),
    source,
    kinds: words(told.get('kinds')),
    compilerFlags: words(told.get('cc')),
    moves: new Set(words(told.get('moves')) as Moves[]),
    ...(alone === undefined ? {} : { alone }),
  }
}

export const workloads: readonly Workload[] = readdirSync(workloadFolder)
  .filter(file => file.endsWith('.c'))
  .toSorted()
  .map(parse)

const newest = (...files: string[]): number => Math.max(...files.map(file => statSync(file).mtimeMs))

/** Compiles `source` to `bin/name` unless that is newer already; the path. Throws what the compiler says. */
export function compile(
  source: string,
  binFolder: string,
  name: string,
  flags: readonly string[],
  headers: readonly string[],
): string {
  const binary = join(binFolder, name)
  mkdirSync(binFolder, { recursive: true })
  try {
    if (statSync(binary).mtimeMs > newest(source, ...headers)) return binary
  } catch {
    // Not built yet.
  }
  // By way of another name: two runs of the tests at once may build the same program.
  const unfinished = `${binary}.${process.pid}`
  const command = ['gcc', '-std=gnu11', '-O1', '-g', '-Wall', '-Wextra', '-Wno-unused-function', ...flags]
  const made = Bun.spawnSync([...command, '-o', unfinished, source], { stderr: 'pipe', stdout: 'ignore' })
  if (made.exitCode !== 0) throw new Error(`${source} does not compile:\n${made.stderr.toString()}`)
  renameSync(unfinished, binary)
  return binary
}

const headers = readdirSync(workloadFolder)
  .filter(file => file.endsWith('.h'))
  .map(file => join(workloadFolder, file))

export function build(workload: Workload): string {
  return compile(workload.source, join(workloadFolder, 'bin'), workload.name, workload.compilerFlags, headers)
}
