// Calls that fail, each in turn: a dump says what failed, takes its images away and leaves its target as it was; and a
// dump that is interrupted, or cannot stop its target in time, does the same.
import { describe, expect, test } from 'bun:test'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { run as execute } from './harness.ts'
import { announce, chosen, freshFolder, hasStrace, injected, programCommand, traced } from './injection.ts'
import { Steady } from './steady.ts'

/** The calls that are let fail, and how. */
const FAILURES: Readonly<Record<string, string>> = {
  ptrace: 'EIO', wait4: 'EINTR', process_vm_readv: 'EFAULT', process_vm_writev: 'EFAULT', pwrite64: 'ENOSPC',
  pread64: 'EIO', pidfd_open: 'EMFILE', pidfd_getfd: 'EMFILE', sendmsg: 'ENOBUFS', kcmp: 'EPERM', openat: 'EMFILE',
  write: 'ENOSPC', read: 'EIO', getdents64: 'EIO', readlinkat: 'ENOMEM', newfstatat: 'ENOMEM', fcntl: 'EMFILE', ioctl: 'ENOMEM',
  pipe2: 'ENFILE', tee: 'ENOMEM', lseek: 'EINVAL', get_robust_list: 'EPERM', sched_getaffinity: 'ESRCH', fstatfs: 'EIO',
}

/** What of a failed dump may stay: its log. */
const STAYS = new Set(['dump.log', 'stats-dump'])

async function failedDumps(main: 'busy' | 'waiting', about: number): Promise<void> {
  const steady = new Steady()
  await using run = steady.run
  await steady.start(main)
  const program = await programCommand()
  const dump = (folder: string): string[] => [...program, 'dump', '-t', String(steady.pid), '-D', folder, '-R', '-v4', '-o', 'dump.log']
  const folder = freshFolder(run, 'whole')
  const whole = await traced(run.folder, Object.keys(FAILURES), [], dump(folder))
  expect(whole.exitCode).toBe(0)
  // What comes before the log is opened is of the runtime.
  const from = whole.calls.findIndex(({ name, text }) => name === 'openat' && text.includes('"dump.log"'))
  const calls = whole.calls.slice(from + 1)
  const tried = chosen(calls, about)
  announce(`dumps of a ${main} target in which a call fails`, tried, calls)
  const survived: string[] = []
  for (const call of tried) {
    const images = freshFolder(run, 'failed')
    const ended = await traced(run.folder, [call.name], injected(call, `error=${FAILURES[call.name]}`), dump(images))
    const what = `${call.name} number ${call.nth} failed (${call.text})`
    const left = readdirSync(images).filter(name => !STAYS.has(name))
    if (ended.exitCode === 0) survived.push(what)
    else {
      expect([what, ended.exitCode, ended.output.match(/^Error: /gm)?.length ?? 0, left]).toEqual([what, 1, expect.any(Number), []])
      if (!ended.output.includes('Error: ')) throw new Error(`${what}: nothing was said\n${ended.output}`)
    }
    await steady.mustBeUntouched(what)
  }
  if (process.env['BARDO_SHOW']) console.log(survived.join('\n'))
  await run.finish()
}

describe.if(hasStrace)('a dump in which a call fails', () => {
  test('leaves a target as it was whose main thread computes', () => failedDumps('busy', 40), 600_000)
  test('leaves a target as it was whose main thread waits in calls', () => failedDumps('waiting', 40), 600_000)
})
