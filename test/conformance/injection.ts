// strace as the one who kills and fails: it can end a program, or let a call answer an error, at the nth call of a kind.
// Only the main thread is traced, in which the engine runs; the runtime's own threads are none of our business.
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { run, type Ended, type Run } from './harness.ts'
import { projectRoot } from './workload-list.ts'

/** A call that was made: its number among those of its name (from 1), and its text in the trace. */
export type TracedCall = { readonly name: string; readonly nth: number; readonly text: string }

export const everyStep = process.env['BARDO_EVERY_STEP'] === '1'

export const hasStrace = Bun.which('strace') !== null
if (!hasStrace) console.log('skipped: what fails or is killed at a call of its own; strace is not installed')

/** Runs a command under strace; `extra` are strace's own options. The trace is text, of the calls named. */
export async function traced(
  folder: string,
  names: readonly string[],
  extra: readonly string[],
  command: readonly string[],
): Promise<Ended & { readonly calls: TracedCall[] }> {
  const output = join(folder, 'trace')
  rmSync(output, { force: true })
  const ended = await run([
    'strace',
    '-qqq',
    '-o',
    output,
    '-s',
    '200',
    '-e',
    'signal=none',
    '-e',
    `trace=${names.join(',')}`,
    ...extra,
    ...command,
  ])
  const counts = new Map<string, number>()
  const calls: TracedCall[] = []
  for (const text of existsSync(output) ? readFileSync(output, 'latin1').split('\n') : []) {
    const name = /^([a-z0-9_]+)\(/.exec(text)?.[1]
    if (name === undefined) continue
    const nth = (counts.get(name) ?? 0) + 1
    counts.set(name, nth)
    calls.push({ name, nth, text })
  }
  return { ...ended, calls }
}

/** What happens at a call: strace's words behind `inject=NAME:`. */
export const injected = (call: TracedCall, what: string): string[] => [
  '-e',
  `inject=${call.name}:${what}:when=${call.nth}`,
]

/**
 * Of `calls`, as many as are tried by default, evenly between the first and the last one, and those that are worth it
 * always. All of them with BARDO_EVERY_STEP=1.
 */
export function chosen(
  calls: readonly TracedCall[],
  about: number,
  always: (call: TracedCall, before: TracedCall | undefined) => boolean = () => false,
): TracedCall[] {
  if (everyStep || calls.length <= about) return [...calls]
  const stride = (calls.length - 1) / (about - 1)
  const places = new Set(Array.from({ length: about }, (_, index) => Math.round(index * stride)))
  return calls.filter((call, index) => places.has(index) || always(call, calls[index - 1]))
}

export function announce(what: string, tried: readonly TracedCall[], all: readonly TracedCall[]): void {
  const note = tried.length < all.length ? '; BARDO_EVERY_STEP=1 tries all' : ''
  console.log(`${what}: ${tried.length} of ${all.length} calls${note}`)
}

/** A fresh, empty folder of the run. */
export function freshFolder(of: Run, name: string): string {
  const path = of.path(name)
  rmSync(path, { recursive: true, force: true })
  mkdirSync(path)
  return path
}

let bundle: readonly string[] | undefined

/**
 * The program under test as a command that does nothing but its work: from source each module that is loaded would be
 * calls of the runtime among ours, and the work of others on the sources would be seen in the middle of a series.
 */
export async function programCommand(): Promise<readonly string[]> {
  if (process.env['BARDO'] !== undefined) return [process.env['BARDO']]
  if (bundle !== undefined) return bundle
  const folder = mkdtempSync(join(tmpdir(), 'bardo-bundle-'))
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }))
  const result = await Bun.build({
    entrypoints: [join(projectRoot, 'src/cli/main.ts')],
    target: 'bun',
    format: 'cjs',
    outdir: folder,
  })
  if (!result.success) throw new Error(result.logs.map(String).join('\n'))
  bundle = [process.execPath, '--no-env-file', '--config=/dev/null', join(folder, 'main.js')]
  return bundle
}
