// Bardo killed by SIGKILL at each of its calls: the targets of a dump run on and are correct, and the next dump takes away
// what was left in them.
import { describe, expect, test } from 'bun:test'
import { program } from './harness.ts'
import { announce, chosen, freshFolder, hasStrace, injected, traced, type TracedCall } from './injection.ts'
import { Steady } from './steady.ts'

/** The calls that change a target, and those around which it runs. */
const TOUCHING = ['ptrace', 'wait4', 'process_vm_writev', 'pwrite64', 'sendmsg', 'pidfd_getfd', 'process_vm_readv']

async function killedDumps(main: 'busy' | 'waiting', about: number): Promise<void> {
  const steady = new Steady()
  await using run = steady.run
  await steady.start(main)
  const dump = (folder: string): string[] => [program, 'dump', '-t', String(steady.pid), '-D', folder, '-R', '-v4', '-o', 'dump.log']
  const whole = await traced(run.folder, TOUCHING, [], dump(freshFolder(run, 'whole')))
  expect(whole.exitCode).toBe(0)
  await steady.mustBeUntouched('after a dump that nothing disturbed')
  const tried = chosen(whole.calls, about)
  announce(`dumps of a ${main} target that are killed`, tried, whole.calls)
  const kill = async (call: TracedCall): Promise<number> => {
    const ended = await traced(run.folder, [call.name], injected(call, 'signal=KILL'), dump(freshFolder(run, 'killed')))
    const what = `killed at ${call.name} number ${call.nth} (${call.text})`
    // Waits are not always as many: the last ones may not have been reached.
    if (ended.exitCode === 0) return 0
    return await steady.mustBeAsBefore(what)
  }
  for (const call of tried) {
    const leftovers = await kill(call)
    expect(leftovers).toBeLessThanOrEqual(1)
    const after = await run.dump({ leaveRunning: true })
    expect(after).not.toBe('')
    await steady.mustBeUntouched(`dumped after a dump that was killed at ${call.name} number ${call.nth}`)
  }
  await run.finish()
}

describe.if(hasStrace)('a dump that is killed', () => {
  test('leaves a target alone whose main thread computes', () => killedDumps('busy', 40), 600_000)
  test('leaves a target alone whose main thread waits in calls', () => killedDumps('waiting', 40), 600_000)
})
