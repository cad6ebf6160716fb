// Consoles, virtual terminals and serial lines, several at once: opened again where they are, or replaced by a terminal of
// the caller's, one by one or all together.
import { expect, test } from 'bun:test'
import { closeSync, constants, openSync, readFileSync, rmSync, statSync } from 'node:fs'
import { program, Run, run as runCommand, until } from './harness.ts'
import { Shell } from './shell.ts'
import { Terminal } from './terminal.ts'
import { workloads } from './workload-list.ts'

const limit_ms = 60_000
const workload = workloads.find(one => one.name === 'tty-lines')!

/** Whether a terminal can be opened here: a machine may have the device's name and not the device. */
function isThere(path: string): boolean {
  try {
    closeSync(openSync(path, constants.O_RDWR | constants.O_NOCTTY | constants.O_NONBLOCK))
    return true
  } catch {
    return false
  }
}

// The first ones may be somebody's.
const virtual = ['/dev/tty41', '/dev/tty42', '/dev/tty43'].filter(isThere)
// A console is another name for one of the others.
const groups = [['/dev/console'], ['/dev/ttyS0', '/dev/ttyS1', '/dev/ttyUSB0', '/dev/hvc0']].map(paths => [
  ...virtual,
  ...paths.filter(isThere),
])
const device = (path: string): string => {
  const { rdev } = statSync(path)
  return `${(rdev >> 8) & 0xfff}:${(rdev & 0xff) | ((rdev >> 12) & 0xfff00)}`
}
const keyOf = (path: string): string => `tty[${statSync(path).rdev.toString(16)}:${statSync(path).dev.toString(16)}]`

/** Lets it end; it says which devices it had at the end. */
async function finish(run: Run, paths: readonly string[]): Promise<void> {
  await run.finish()
  expect(readFileSync(run.path('prepared'), 'utf8')).toBe(paths.map(path => `${device(path)}\n`).join(''))
}

if (virtual.length < 2) console.log('skipped: no virtual terminals here')
const there = virtual.length < 2 ? test.skip : test

for (const lines of groups)
  there(
    `${lines.join(', ')} are opened again, with their settings and the session on the first`,
    async () => {
      await using run = new Run(workload)
      await run.start(...lines)
      await run.restore(await run.dump())
      await run.restore(await run.dump())
      await finish(run, lines)
    },
    limit_ms,
  )

there(
  'one is replaced by the terminal that is given for it, and the others stay where they are',
  async () => {
    using one = new Terminal()
    await using run = new Run(workload)
    await run.start(...virtual)
    await run.restore(await run.dump(), {
      more: ['--inherit-fd', `fd[1]:${keyOf(virtual[0]!)}`],
      terminal: one.slave,
    })
    await finish(run, [one.path, ...virtual.slice(1)])
    await until('it hears', () => one.heard() === '<line 0><tty><again>' || undefined, 2000)
  },
  limit_ms,
)

there(
  'what is not given by name goes to the terminal that is given for all',
  async () => {
    using one = new Terminal()
    using two = new Terminal()
    await using run = new Run(workload)
    await run.start(...virtual.slice(0, 2))
    await run.restore(await run.dump(), {
      more: ['--inherit-fd', `fd[1]:${keyOf(virtual[0]!)}`, '--tty', two.path],
      terminal: one.slave,
    })
    await finish(run, [one.path, two.path])
    await until(
      'both hear',
      () => (one.heard() + two.heard() === '<line 0><tty><again><line 1>' ? true : undefined),
      2000,
    )
  },
  limit_ms,
)

there(
  'all are replaced by one terminal',
  async () => {
    using one = new Terminal()
    await using run = new Run(workload)
    await run.start(virtual[0]!)
    await run.restore(await run.dump(), { more: ['--tty', one.path] })
    await finish(run, [one.path])
    await until('it hears', () => one.heard().includes('<line 0><tty><again>') || undefined, 2000)
  },
  limit_ms,
)

there(
  'one that is not there is an error with the option to add, whatever its name',
  async () => {
    using one = new Terminal()
    await using run = new Run(workload)
    const path = run.path('line')
    const { rdev } = statSync(virtual[0]!)
    expect(Bun.spawnSync(['mknod', path, 'c', String(rdev >> 8), String(rdev & 0xff)]).exitCode).toBe(0)
    const key = keyOf(path)
    await run.start(path)
    const images = await run.dump()
    rmSync(path)
    const { exitCode, output } = await runCommand([program, 'restore', '-d', '-D', images, '-o', '-', '-v4'])
    expect(exitCode).toBe(1)
    expect(output).toContain(`the terminal ${path} is not there`)
    expect(output).toContain(`--inherit-fd 'fd[1]:${key}'`)
    await run.restore(images, { more: ['--inherit-fd', `fd[1]:${key}`], terminal: one.slave })
    await finish(run, [one.path])
  },
  limit_ms,
)

there(
  'a job of a shell on a virtual terminal comes to the window that we are in',
  async () => {
    using now = new Shell(33, 101)
    await using run = new Run(workloads.find(one => one.name === 'tty-mixed')!)
    const fd = openSync(virtual[0]!, constants.O_RDWR | constants.O_NOCTTY)
    // The shell leads the session and stays outside.
    const start = (text: string): void =>
      void Bun.spawn(['setsid', '-c', 'sh', '-c', `${text}true`], { stdin: fd, stdout: fd, stderr: fd })
    await run.startIn({ type: start })
    closeSync(fd)
    await run.restoreIn(now, await run.dump({ more: ['-j'] }), '-j')
    await run.finish()
    await now.shows('<job><again><out>')
  },
  limit_ms,
)
