// Bardo killed by SIGKILL at each of its calls. The targets of a dump run on and are correct, and the next dump takes away
// what was left in them. Of a restore nothing is left, and the same images can be restored.
import { describe, expect, test } from 'bun:test'
import { run as execute } from './harness.ts'
import {
  announce,
  chosen,
  freshFolder,
  hasStrace,
  injected,
  programCommand,
  traced,
  type TracedCall,
} from './injection.ts'
import { KeptImages } from './kept-images.ts'
import { Steady } from './steady.ts'

/** The calls that change a target, and those around which it runs. */
const TOUCHING = ['ptrace', 'wait4', 'process_vm_writev', 'pwrite64', 'sendmsg', 'pidfd_getfd', 'process_vm_readv']

/** How strace ends whose command was killed by SIGKILL. */
const KILLED = 128 + 9

async function killedDumps(main: 'busy' | 'waiting', about: number, stopped = false): Promise<void> {
  const steady = new Steady()
  await using run = steady.run
  await steady.start(main)
  const program = await programCommand()
  const dump = (folder: string): string[] => [...program, ...steady.dumpTo(folder)]
  const whole = await traced(run.folder, TOUCHING, [], dump(freshFolder(run, 'whole')))
  expect(whole.exitCode).toBe(0)
  await steady.mustBeUntouched('after a dump that nothing disturbed')
  const tried = chosen(whole.calls, about)
  announce(`dumps of a ${main}${stopped ? ', stopped' : ''} target that are killed`, tried, whole.calls)
  let killed = 0
  for (const call of tried) {
    const what = `killed at ${call.name} number ${call.nth} (${call.text})`
    if (stopped) await steady.stop()
    const ended = await traced(run.folder, [call.name], injected(call, 'signal=KILL'), dump(freshFolder(run, 'killed')))
    if (ended.exitCode === KILLED) killed++
    if (stopped) await steady.mustBeStopped(what)
    else expect(await steady.mustBeAsBefore(what)).toBeLessThanOrEqual(1)
    const next = await execute(dump(freshFolder(run, 'after')))
    expect([what, next]).toEqual([what, { exitCode: 0, output: '' }])
    if (stopped) steady.goOn()
    await steady.mustBeUntouched(`dumped after a dump that was ${what}`)
  }
  // Waits are not always as many; most calls are.
  expect(killed).toBeGreaterThan(tried.length / 2)
  await run.finish()
}

/** The calls by which a restore makes anything. */
const MAKING = [
  ...TOUCHING,
  'openat',
  'mkdirat',
  'linkat',
  'unlinkat',
  'mknodat',
  'kill',
  'memfd_create',
  'clone3',
  'execveat',
  'dup3',
  'pipe2',
]

/**
 * Those of the calls at which a deleted file has its name for a moment: Linux has no call that makes it and takes its name
 * away, so a restore that is killed exactly between the two leaves the name behind (docs/limits.md).
 */
function withNames(calls: readonly TracedCall[]): ReadonlySet<TracedCall> {
  let named = 0
  const found = new Set<TracedCall>()
  for (const call of calls) {
    if (named > 0) found.add(call)
    if (/^(mkdirat|mknodat|linkat|openat\(.*O_CREAT\|O_EXCL).* = \d+$/.test(call.text)) named++
    if (/^unlinkat.* = 0$/.test(call.text)) named--
  }
  return found
}

async function killedRestores(workload: string, about: number): Promise<void> {
  const kept = new KeptImages(workload)
  await using run = kept.run
  await kept.make()
  const program = await programCommand()
  const restore = [...program, 'restore', '-d', '-D', kept.images, '-v4', '-o', 'restore.log']
  const whole = await traced(run.folder, MAKING, [], restore)
  expect(whole.exitCode).toBe(0)
  await kept.end()
  const from = whole.calls.findIndex(({ name, text }) => name === 'openat' && text.includes('"restore.log"'))
  // From its first process let go on, a tree lives without us.
  const to = whole.calls.findIndex(({ text }) => text.startsWith('ptrace(PTRACE_DETACH'))
  const calls = whole.calls.slice(from + 1, to + 1)
  const named = withNames(calls)
  const [firstNamed] = named
  // At its first the first process is there and not traced yet.
  const tried = chosen(calls, about, call => call.text.startsWith('ptrace(PTRACE_SEIZE') || call === firstNamed)
  announce(`restores of ${workload} that are killed`, tried, calls)
  let killed = 0
  for (const call of tried) {
    const ended = await traced(run.folder, [call.name], injected(call, 'signal=KILL'), restore)
    if (ended.exitCode === KILLED) killed++
    const what = `killed at ${call.name} number ${call.nth} (${call.text})`
    // Waits are not always as many.
    if (ended.exitCode === 0) await kept.end()
    else await kept.mustBeGone(what, named.has(call))
  }
  expect(killed).toBeGreaterThan(tried.length / 2)
  await run.restore(kept.images)
  await run.finish()
}

describe.if(hasStrace)('a dump that is killed', () => {
  test('leaves a target alone whose main thread computes', () => killedDumps('busy', 30), 600_000)
  test('leaves a target alone whose main thread waits in calls', () => killedDumps('waiting', 30), 600_000)
  test('leaves a target alone that is stopped', () => killedDumps('waiting', 20, true), 600_000)
})

describe.if(hasStrace)('a restore that is killed', () => {
  for (const workload of ['registers', 'threads', 'tree', 'adopted', 'pipes', 'unlinked', 'tty-pair', 'stopped'])
    test(`leaves nothing of ${workload}`, () => killedRestores(workload, 10), 600_000)
})
