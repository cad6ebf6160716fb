// --tty with trees that are no plain job of a shell: several sessions, virtual consoles, leaders that are gone; and what is no terminal.
import { expect, test } from 'bun:test'
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, readlinkSync, rmSync } from 'node:fs'
import { program, until } from './harness.ts'
import { areGone, childOf, killTree, RAW, Shell, stateOf, Window } from './shell.ts'
import { treeOf } from './visible-state.ts'

const limit_ms = 60_000

type Stat = { pgrp: number; session: number; tty_nr: number; tpgid: number }

function statOf(pid: number): Stat {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const [pgrp, session, tty_nr, tpgid] = fields.slice(2, 6).map(Number) as [number, number, number, number]
  return { pgrp, session, tty_nr, tpgid }
}

/** Dumps a tree and waits until none of it is left. */
async function dump(pid: number, images: string, ...words: readonly string[]): Promise<void> {
  const pids = treeOf(pid)
  const dumped = Bun.spawnSync([program, 'dump', ...words, '-D', images, '-o', 'dump.log', '-v4', '-t', String(pid)])
  expect(dumped.exitCode, dumped.stderr.toString()).toBe(0)
  await areGone(pids)
}

/** Its exit status, and what it says. */
function restore(images: string, ...words: readonly string[]): { exitCode: number; says: string } {
  const { exitCode, stderr } = Bun.spawnSync([program, 'restore', ...words, '-D', images, '-o', 'restore.log', '-v4'], {
    stdin: 'ignore',
  })
  return { exitCode, says: stderr.toString() }
}

/** Two sessions on two terminals: the root leads one, its child the other. */
const TWO = `
import os, sys, fcntl, termios, time
def lead(path):
  os.setsid()
  fd = os.open(path, os.O_RDWR)
  fcntl.ioctl(fd, termios.TIOCSCTTY, 0)
  for n in (0, 1, 2): os.dup2(fd, n)
  if fd > 2: os.close(fd)
child = os.fork()
lead(sys.argv[1 if child else 2])
print("root" if child else "child", "up", flush=True)
for line in sys.stdin: print("root" if child else "child", "got", line.strip(), flush=True)
time.sleep(1000)
`

test(
  'of several sessions each goes to a terminal of its own by name; on one --tty the first has it, and the log says so',
  async () => {
    const images = mkdtempSync('/tmp/bardo-sessions-')
    using one = new Window(24, 80)
    using two = new Window(24, 80)
    using here = new Window(30, 90)
    using there = new Window(31, 91)
    const start = Bun.spawn(['python3', '-c', TWO, one.terminal.path, two.terminal.path], { stdin: 'ignore' })
    const { pid } = start
    try {
      await one.shows('root up')
      await two.shows('child up')
      const named = [one, two].flatMap(({ terminal }) => ['--external', `tty[${terminal.key}]`])
      const child = treeOf(pid).find(each => each !== pid)!
      await dump(pid, images, ...named)
      const given = [openSync(here.terminal.path, 'r+'), openSync(there.terminal.path, 'r+')]
      const each = Bun.spawnSync(
        [
          program,
          'restore',
          '-d',
          '--inherit-fd',
          `fd[3]:tty[${one.terminal.key}]`,
          '--inherit-fd',
          `fd[4]:tty[${two.terminal.key}]`,
          '-D',
          images,
          '-o',
          'restore.log',
          '-v4',
        ],
        { stdio: ['ignore', 'ignore', 'pipe', ...given] },
      )
      given.forEach(fd => closeSync(fd))
      expect(each.exitCode, each.stderr.toString()).toBe(0)
      here.type('one\n')
      there.type('two\n')
      await here.shows('root got one')
      await there.shows('child got two')
      expect(statOf(pid)).toMatchObject({ session: pid, tpgid: pid })
      expect(statOf(child)).toMatchObject({ session: child, tpgid: child })
      killTree(pid)
      await areGone([pid, child])
      const both = restore(images, '-d', '--tty', here.terminal.path)
      expect(both.exitCode, both.says).toBe(0)
      expect(readFileSync(`${images}/restore.log`, 'utf8')).toContain(`session ${child} is left without a terminal`)
      // A terminal controls one session: the child's has none, and it reads there as everybody may.
      expect(statOf(pid)).toMatchObject({ session: pid, tpgid: pid })
      expect(statOf(child)).toMatchObject({ session: child, tty_nr: 0 })
      expect(readlinkSync(`/proc/${child}/fd/0`)).toBe(here.terminal.path)
    } finally {
      killTree(pid)
      rmSync(images, { recursive: true, force: true })
    }
  },
  limit_ms,
)

test(
  'a tree that takes our own terminal from us leaves it with our settings when it ends, and with its own until then',
  async () => {
    const images = mkdtempSync('/tmp/bardo-taken-')
    using old = new Window(24, 80)
    using now = new Window(30, 90)
    const fd = openSync(old.terminal.path, 'r+')
    const job = Bun.spawn(['setsid', '-c', 'sh', '-c', `exec ${RAW}`], { stdio: [fd, fd, fd] })
    closeSync(fd)
    try {
      await old.shows(/^ready/m)
      await dump(job.pid, images, '--external', `tty[${old.terminal.key}]`)
      const words = `restore --exit-status --inherit-fd 'fd[0]:tty[${old.terminal.key}]' -D ${images} -o restore.log -v4`
      const place = openSync(now.terminal.path, 'r+')
      const script = `${program} ${words}; echo "ended $?"; stty -a | grep -o "[-]*icanon"`
      const shell = Bun.spawn(['setsid', '-c', 'sh', '-c', script], { stdio: [place, place, place] })
      closeSync(place)
      await now.shows('size 90')
      now.type('a')
      await now.shows('<a>')
      expect(now.isRaw).toBe(true)
      now.type('q')
      await now.shows(/^ended 7\nicanon/m)
      expect(await shell.exited).toBe(0)
    } finally {
      killTree(job.pid)
      rmSync(images, { recursive: true, force: true })
    }
  },
  limit_ms,
)

/** A virtual console that nothing uses. */
const CONSOLE = '/dev/tty60'

test(
  'a shell on a virtual console goes on in a window',
  async () => {
    if (!existsSync(CONSOLE)) return console.log(`skipped: there is no ${CONSOLE}`)
    const images = mkdtempSync('/tmp/bardo-vt-')
    using now = new Window(30, 90)
    let fd = -1
    try {
      fd = openSync(CONSOLE, 'r+')
    } catch {
      return console.log(`skipped: ${CONSOLE} cannot be opened`)
    }
    const shell = Bun.spawn(['setsid', '-c', 'bash', '--norc', '--noprofile', '-i'], {
      stdio: [fd, fd, fd],
      env: { PATH: '/usr/bin:/bin', PS1: '$ ', word: 'kept', TERM: 'linux' },
    })
    closeSync(fd)
    const { pid } = shell
    try {
      await until('it leads its session there', () => (statOf(pid).tpgid === pid ? true : undefined))
      await dump(pid, images)
      const restored = restore(images, '-d', '--tty', now.terminal.path)
      expect(restored.exitCode, restored.says).toBe(0)
      now.type('echo $word; stty size; tty\n')
      await now.shows(new RegExp(`^kept\\n30 90\\n${now.terminal.path}`, 'm'))
      // A ^Z before cat has the terminal would be the shell's.
      now.type('cat\n')
      await until('it has a job', () => childOf(pid))
      now.type('said\n')
      await now.shows(/^said\nsaid/m)
      now.type('\x1a')
      await now.shows('Stopped')
    } finally {
      killTree(pid)
      rmSync(images, { recursive: true, force: true })
    }
  },
  limit_ms,
)

test(
  'what is no terminal is refused before there is a process, with what to write',
  async () => {
    const images = mkdtempSync('/tmp/bardo-refused-')
    using old = new Shell(24, 80)
    using place = new Window(30, 90)
    try {
      await old.shows('$ ')
      old.type('cat\n')
      const pid = await old.job()
      await dump(pid, images, '-j')
      const wrong: readonly (readonly [string, RegExp])[] = [
        ['/dev/null', /--tty \/dev\/null is not a terminal[^]*\/dev\/pts\/3/],
        ['/dev/pts/99999', /openat\([^]*ENOENT/],
        ['fd:77', /--tty fd:77 is not a terminal/],
        ['pts/3', /invalid argument for --tty[^]*absolute path/],
      ]
      for (const [tty, says] of wrong) {
        const refused = restore(images, '-d', '--tty', tty)
        expect(refused.exitCode).toBe(1)
        expect(refused.says).toMatch(says)
        expect(stateOf(pid)).toBeUndefined()
      }
      const master = Bun.spawnSync([program, 'restore', '-d', '--tty', 'fd:3', '-D', images, '-o', 'restore.log'], {
        stdio: ['ignore', 'ignore', 'pipe', place.terminal.master],
      })
      expect(master.stderr.toString()).toContain('--tty fd:3 is the master of a pty')
      expect(stateOf(pid)).toBeUndefined()
    } finally {
      rmSync(images, { recursive: true, force: true })
    }
  },
  limit_ms,
)
