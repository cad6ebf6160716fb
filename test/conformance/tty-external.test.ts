// The main job: a program that uses its terminal as stdin, stdout, stderr and controlling terminal at once is dumped with
// the terminal named as outside, and goes on in another one.
import { expect, test } from 'bun:test'
import { Run, until } from './harness.ts'
import { Terminal } from './terminal.ts'
import { workloads } from './workload-list.ts'

const limit_ms = 90_000
const workload = workloads.find(one => one.name === 'tty-external')!

// Each takes `rdev:dev`. CRIU knows the first of each list, and the others are our own spellings of it.
const dumpSpellings = [
  (key: string) => ['--external', `tty[${key}]`],
  (key: string) => ['--external', `tty:[${key}]`],
  (key: string) => ['--inherit-fd', `fd:tty:[${key}]`],
]
const restoreSpellings = [
  (key: string) => ['--inherit-fd', `fd[1]:tty[${key}]`],
  (key: string) => ['--inherit-fd', `fd[1]:tty:[${key}]`],
]

for (const dumped of dumpSpellings)
  for (const restored of restoreSpellings)
    test(
      `a terminal moves: dump ${dumped('8800:d').join(' ')}, restore ${restored('8800:d').join(' ')}`,
      async () => {
        using before = new Terminal(30, 100)
        using after = new Terminal(50, 132)
        await using run = new Run(workload)
        await run.start(before.path)
        expect(before.heard()).toBe('before\r\n')
        const images = await run.dump({ more: dumped(before.key) })
        await run.restore(images, { more: restored(before.key), terminal: after.slave })
        // It reads its answer in the new terminal, after its go.
        after.say('yes')
        await run.finish()
        await until('the end is on the new terminal', () => after.heard().endsWith('end\r\n') || undefined, 2000)
        expect(after.heard()).toContain('after\r\nend\r\n')
        expect(before.heard()).toBe('before\r\n')
      },
      limit_ms,
    )

test(
  'a terminal outside that is not named is refused, and the program runs on',
  async () => {
    using terminal = new Terminal()
    await using run = new Run(workload)
    await run.start(terminal.path)
    const { exitCode, log } = await run.attempt('dump')
    expect(exitCode).toBe(1)
    expect(log).toMatch(/\(\d+\.\d+\) Error \(/)
    terminal.say('yes')
    await run.finish()
    expect(terminal.heard()).toBe('before\r\nafter\r\nend\r\n')
  },
  limit_ms,
)
