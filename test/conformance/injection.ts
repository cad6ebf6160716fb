// strace as the one who kills and fails: it can end a program, or let a call answer an error, at the nth call of a kind.
// Only the main thread is traced, in which the engine runs; the runtime's own threads are none of our business.
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { run, type Ended, type Run } from './harness.ts'

/** A call that was made: its number among those of its name (from 1), and its text in the trace. */
export type TracedCall = { readonly name: string; readonly nth: number; readonly text: string }

export const everyStep = process.env['BARDO_EVERY_STEP'] === '1'

export const hasStrace = Bun.which('strace') !== null

/** Runs a command under strace; `extra` are strace's own options. The trace is text, of the calls named. */
export async function traced(
  folder: string, names: readonly string[], extra: readonly string[], command: readonly string[],
): Promise<Ended & { readonly calls: TracedCall[] }> {
  const output = join(folder, 'trace')
  rmSync(output, { force: true })
  const ended = await run([
    'strace', '-qqq', '-o', output, '-s', '200', '-e', 'signal=none', '-e', `trace=${names.join(',')}`, ...extra, ...command,
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
export const injected = (call: TracedCall, what: string): string[] => ['-e', `inject=${call.name}:${what}:when=${call.nth}`]

/**
 * Of `calls`, as many as are tried by default: each name's first and last ones, and others evenly between them.
 * All of them with BARDO_EVERY_STEP=1.
 */
export function chosen(calls: readonly TracedCall[], about: number): TracedCall[] {
  if (everyStep || calls.length <= about) return [...calls]
  const stride = calls.length / about
  const places = new Set(Array.from({ length: about }, (_, index) => Math.floor(index * stride)))
  places.add(calls.length - 1)
  return calls.filter((_, index) => places.has(index))
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
