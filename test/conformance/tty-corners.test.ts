// Corners of terminals: a number that somebody else has taken, a terminal that was hung up, a devpts that is not to be
// seen from here.
import { expect, test } from 'bun:test'
import { existsSync, readdirSync, readlinkSync, mkdtempSync, readFileSync, rmdirSync } from 'node:fs'
import { Run, until } from './harness.ts'
import { Terminal } from './terminal.ts'
import { treeOf } from './visible-state.ts'
import { workloads, type Workload } from './workload-list.ts'

const limit_ms = 60_000
const named = (name: string): Workload => workloads.find(one => one.name === name)!

/** The names of all ptys that tasks of a tree have open. */
const namesIn = (pid: number): string[] => [
  ...new Set(
    treeOf(pid)
      .flatMap(one => readdirSync(`/proc/${one}/fd`).map(fd => readlinkSync(`/proc/${one}/fd/${fd}`)))
      .filter(link => /^\/dev\/pts\/\d+$/.test(link)),
  ),
]

test(
  'numbers that are taken by the time of the restore are replaced by free ones, and names follow',
  async () => {
    await using run = new Run(named('tty-mixed'))
    await run.start()
    const before = namesIn(run.pid)
    const images = await run.dump()
    using stack = new DisposableStack()
    const taken: string[] = []
    while (before.some(name => !taken.includes(name))) taken.push(stack.use(new Terminal()).path)
    await run.restore(images)
    const after = namesIn(run.pid)
    expect(after).toHaveLength(before.length)
    expect(after.filter(name => taken.includes(name))).toEqual([])
    for (const name of after) expect(existsSync(name)).toBe(true)
    // It goes by the new names from here on.
    await run.restore(await run.dump())
    expect(namesIn(run.pid)).toEqual(after)
    await run.finish()
  },
  limit_ms,
)

for (const [name, words] of [
  ['is one again', (): string[] => []],
  ['goes on in a terminal that is given for all', (now: Terminal): string[] => ['--tty', now.path]],
  [
    'goes on in the terminal that is given for it',
    (now: Terminal, key: string): string[] => ['--inherit-fd', `fd[1]:${key}`],
  ],
] as const)
  test(
    `a terminal that was hung up ${name}`,
    async () => {
      const old = new Terminal()
      using now = new Terminal()
      const key = `tty[${old.key}]`
      await using run = new Run(named('tty-hung'))
      await run.start(old.path)
      old[Symbol.dispose]()
      await until('it has heard', () => readFileSync(run.path('prepared'), 'utf8') !== '' || undefined)
      const more = words(now, key)
      await run.restore(await run.dump(), { more, terminal: now.slave })
      await run.finish()
      expect(now.heard()).toBe(more.length === 0 ? '' : 'on\r\n')
    },
    limit_ms,
  )

test(
  'a terminal of a devpts that was unmounted is named by its numbers',
  async () => {
    const folder = mkdtempSync('/tmp/bardo-pts-')
    const mounted = Bun.spawnSync(['mount', '-t', 'devpts', '-o', 'newinstance,ptmxmode=666', 'devpts', folder])
    if (mounted.exitCode !== 0) {
      rmdirSync(folder)
      return console.log('skipped: no right to mount a devpts')
    }
    const holder = Bun.spawn(['python3', '-c', HOLDER, folder], { stdin: 'pipe', stdout: 'pipe' })
    try {
      const reader = holder.stdout.getReader()
      const key = new TextDecoder().decode((await reader.read()).value).trim()
      await using run = new Run(named('tty-hung'))
      await run.start(`${folder}/0`)
      expect(Bun.spawnSync(['umount', '-l', folder]).exitCode).toBe(0)
      using now = new Terminal()
      const images = await run.dump({ more: ['--external', `tty[${key}]`] })
      await run.restore(images, { more: ['--inherit-fd', `fd[1]:tty[${key}]`], terminal: now.slave })
      await run.finish()
      expect(now.heard()).toBe('on\r\n')
    } finally {
      holder.kill('SIGKILL')
      Bun.spawnSync(['umount', '-l', folder])
      rmdirSync(folder)
    }
  },
  limit_ms,
)

/** Keeps a master open, and tells the numbers of its slave. */
const HOLDER = `
import fcntl, os, sys
master = os.open(sys.argv[1] + "/ptmx", os.O_RDWR | os.O_NOCTTY)
fcntl.ioctl(master, 0x40045431, bytes(4))
st = os.stat(sys.argv[1] + "/0")
print("%x:%x" % (st.st_rdev, st.st_dev), flush=True)
sys.stdin.read()
`
