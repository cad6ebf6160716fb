// A job on a fresh pty (--tty new): shown, left, shown again elsewhere, whoever is killed meanwhile.
import { expect, test } from 'bun:test'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, statSync } from 'node:fs'
import { program, until } from './harness.ts'
import { areGone, childOf, dumpJob, killTree, RAW, Shell, stateOf, Window } from './shell.ts'
import { NR } from '../../src/linux/nr.ts'
import { treeOf } from './visible-state.ts'

const limit_ms = 60_000

/** A container runtime's part: takes a master from the console socket, and shows it. */
const TAKER = `
import os, select, socket, sys
server = socket.socket(socket.AF_UNIX)
server.bind(sys.argv[1])
server.listen(1)
_, fds, _, _ = socket.recv_fds(server.accept()[0], 16, 1)
while 1:
  for fd in select.select([0, fds[0]], [], [])[0]:
    try: data = os.read(fd, 4096)
    except OSError: sys.exit(0)
    os.write(fds[0] if fd == 0 else 1, data)
`

test(
  'a job moves to a fresh pty, is left, and shown again in another window',
  async () => {
    const images = mkdtempSync('/tmp/bardo-new-')
    using old = new Shell(24, 80)
    using now = new Shell(40, 111)
    using other = new Shell(30, 90)
    try {
      await old.shows('$ ')
      old.type(`${RAW}\n`)
      await old.shows(/^ready/m)
      const pid = await dumpJob(old, images)
      now.type(
        `export XDG_RUNTIME_DIR=${images}; ${program} restore --tty new -D ${images} -o restore.log -v4; echo "left $?"\n`,
      )
      await now.shows('size 111')
      now.type('a')
      await now.shows('<a>')
      now.type('\x1cd')
      await now.shows('left 0')
      expect(['S', 'R']).toContain(String(stateOf(pid)))
      other.type(`export XDG_RUNTIME_DIR=${images}; ${program} attach; echo "attach $?"\n`)
      await other.shows('size 90')
      other.type('b')
      await other.shows('<b>')
      // Shown elsewhere: the one before is told.
      now.type(`clear; ${program} attach ${pid}\n`)
      await now.shows('size 111')
      await other.shows('is shown elsewhere now')
      other.type('stty -a | grep -o "[-]*icanon"\n')
      await other.shows(/^icanon/m)
      now.type('q')
      await now.shows('has ended')
      now.type('clear; echo $((20 + 3))\n')
      await now.shows(/^23/m)
    } finally {
      rmSync(images, { recursive: true, force: true })
    }
  },
  limit_ms,
)

test(
  'a detached restore leaves a fresh pty to its keeper; who asks for no terminal is told which are kept',
  async () => {
    const images = mkdtempSync('/tmp/bardo-kept-')
    using old = new Shell(24, 80)
    using now = new Shell(40, 111)
    let pid = 0
    try {
      await old.shows('$ ')
      old.type(`${RAW}\n`)
      await old.shows(/^ready/m)
      pid = await dumpJob(old, images)
      const env = { ...process.env, XDG_RUNTIME_DIR: images }
      const restored = Bun.spawnSync(
        [program, 'restore', '-d', '--tty', 'new', '-D', images, '-o', 'restore.log', '-v4'],
        { env },
      )
      expect(restored.exitCode, restored.stderr.toString()).toBe(0)
      now.type(`XDG_RUNTIME_DIR=${images} ${program} attach\n`)
      await now.shows('size 111')
      now.type('aq')
      await now.shows('has ended')
      const none = Bun.spawnSync([program, 'attach'], { env })
      expect(none.exitCode).toBe(1)
    } finally {
      if (pid !== 0) killTree(pid)
      rmSync(images, { recursive: true, force: true })
    }
  },
  limit_ms,
)

test(
  'a whole shell, which leads its session, moves with its terminal named as outside; a window that is closed leaves it to its keeper',
  async () => {
    const images = mkdtempSync('/tmp/bardo-shell-')
    using old = new Shell(24, 80)
    using other = new Shell(30, 90)
    const { pid } = old
    try {
      {
        using now = new Shell(40, 111)
        old.type('word=kept\n')
        await old.shows('kept')
        old.type('cat\n')
        await old.job()
        old.type('said\n')
        await old.shows(/^said\nsaid/m)
        old.type('\x1a')
        await old.shows(/Stopped/)
        const pids = treeOf(pid)
        const dumped = Bun.spawnSync([
          program,
          'dump',
          '--external',
          `tty[${old.terminal.key}]`,
          '-D',
          images,
          '-o',
          'dump.log',
          '-v4',
          '-t',
          String(pid),
        ])
        expect(dumped.exitCode, readFileSync(`${images}/dump.log`, 'utf8').split('\n').slice(-9).join('\n')).toBe(0)
        await areGone(pids)
        now.type(`export XDG_RUNTIME_DIR=${images}; ${program} restore --tty new -D ${images} -o restore.log -v4\n`)
        await until('it runs', () => stateOf(pid) === 'S' || undefined, 10_000)
        now.type('clear; echo $word; stty size\n')
        await now.shows(/^kept\n40 111/m)
        now.type('fg\n')
        await now.shows(/^cat/m)
        // What is typed for a shell that waits for its job would be the shell's.
        now.type('echoed\n')
        await now.shows(/echoed\nechoed/)
        // A window that is closed takes with it what was typed and not read yet.
        now.type('\x03')
        await now.shows(/\^C\n\$/)
        const restore = await now.job()
        now.hangUp()
        await areGone([restore])
      }
      // Its own hang-up would have come by now.
      await until('it waits for input', () => stateOf(pid) === 'S' || undefined, 5000)
      other.type(`export XDG_RUNTIME_DIR=${images}; ${program} attach; echo "attach $?"\n`)
      // The terminal is the other shell's until it is shown.
      await other.isShowing()
      other.type('clear; echo $word-still; stty size\n')
      await other.shows(/^kept-still\n30 90/m)
      other.type('exit\n')
      await other.shows('attach 0')
    } finally {
      killTree(pid)
      rmSync(images, { recursive: true, force: true })
    }
  },
  limit_ms,
)

test(
  'a console whose master is outside comes back on a fresh pty, whose master is sent to a socket',
  async () => {
    const images = mkdtempSync('/tmp/bardo-console-')
    using old = new Shell(24, 80)
    using now = new Window(35, 95)
    const { pid } = old
    const taker = Bun.spawn(['python3', '-c', TAKER, `${images}/console`], {
      stdin: now.terminal.slave,
      stdout: now.terminal.slave,
      stderr: 'inherit',
    })
    try {
      await until('the socket is there', () => existsSync(`${images}/console`) || undefined, 10_000)
      old.type('word=kept\n')
      await old.shows('kept')
      const dumped = Bun.spawnSync([
        program,
        'dump',
        '--orphan-pts-master',
        '-D',
        images,
        '-o',
        'dump.log',
        '-v4',
        '-t',
        String(pid),
      ])
      expect(dumped.exitCode, readFileSync(`${images}/dump.log`, 'utf8').split('\n').slice(-9).join('\n')).toBe(0)
      await areGone([pid])
      const words = ['restore', '-d', `--orphan-pts-master=${images}/console`, '-D', images, '-o', 'restore.log', '-v4']
      const restored = Bun.spawnSync([program, ...words])
      expect(restored.exitCode, restored.stderr.toString()).toBe(0)
      now.type('echo $word; stty size\n')
      await now.shows(/kept[^]*24 80/)
      now.type('exit\n')
      expect(await taker.exited).toBe(0)
    } finally {
      taker.kill('SIGKILL')
      killTree(pid)
      rmSync(images, { recursive: true, force: true })
    }
  },
  limit_ms,
)

/** Dumps a job of a window that is closed then; the folder of its image, which is the keepers' folder too. */
async function dumped(command: string, ready: string | RegExp): Promise<{ images: string; pid: number }> {
  const images = mkdtempSync('/tmp/bardo-keeper-')
  using old = new Shell(24, 80)
  await old.shows('$ ')
  old.type(`${command}\n`)
  await old.shows(ready)
  return { images, pid: await dumpJob(old, images) }
}

/** Restores without a terminal. */
function restoreAway(images: string, kept: string, ...words: readonly string[]): void {
  const restored = Bun.spawnSync([program, 'restore', ...words, '-D', images, '-o', 'restore.log', '-v4'], {
    env: { ...process.env, XDG_RUNTIME_DIR: kept },
    stdin: 'ignore',
  })
  expect(restored.exitCode, restored.stderr.toString()).toBe(0)
}

/** The keeper of `pid`: a process that has its number among its words. */
function keeperOf(pid: number): number {
  const found = readdirSync('/proc').filter(name => {
    if (!/^\d+$/.test(name)) return false
    try {
      const words = readFileSync(`/proc/${name}/cmdline`, 'latin1').split('\0')
      return words.includes('--keep-terminal') && words.some(word => word.endsWith(`/bardo/${pid}`))
    } catch {
      return false
    }
  })
  expect(found).toHaveLength(1)
  return Number(found[0])
}

test(
  'a restore that is killed while it shows a fresh pty leaves the terminal in order, and the job to its keeper',
  async () => {
    const { images, pid } = await dumped(RAW, /^ready/m)
    using now = new Shell(40, 111)
    try {
      now.type(
        `export XDG_RUNTIME_DIR=${images}; sh -c '${program} restore --tty new -D ${images} -o restore.log; echo "status $?"; stty -a | grep -o "[-]*icanon"'\n`,
      )
      await now.shows('size 111')
      await now.isShowing()
      process.kill(childOf(await now.job())!, 'SIGKILL')
      await now.shows(/status 137\r?\n *icanon/)
      now.type(`clear; ${program} attach --\n`)
      await now.isShowing()
      now.type('a')
      await now.shows('<a>')
      now.type('q')
      await now.shows('has ended')
    } finally {
      killTree(pid)
      rmSync(images, { recursive: true, force: true })
    }
  },
  limit_ms,
)

test(
  'of several that are kept attach wants one named; what a killed keeper left behind is none',
  async () => {
    const first = await dumped(RAW, /^ready/m)
    const second = await dumped(RAW, /^ready/m)
    const kept = mkdtempSync('/tmp/bardo-kept-')
    using now = new Shell(40, 111)
    try {
      restoreAway(first.images, kept, '-d', '--tty', 'new')
      restoreAway(second.images, kept, '-d', '--tty', 'new')
      now.type(`export XDG_RUNTIME_DIR=${kept}; ${program} attach; echo "attach $?"\n`)
      await now.shows('several terminals are kept')
      const screen = await now.shows('attach 1')
      for (const { pid } of [first, second]) expect(screen).toContain(`${pid} (python3)`)
      now.type(`clear; ${program} attach ${second.pid}; echo "attach $?"\n`)
      await now.shows('size 111')
      now.type('q')
      await now.shows('attach 0')
      expect(existsSync(`${kept}/bardo/${second.pid}`)).toBe(false)
      // The terminal hangs up with who keeps it.
      const keeper = keeperOf(first.pid)
      process.kill(keeper, 'SIGKILL')
      await until('the job has been hung up', () => 'Z' === (stateOf(first.pid) ?? 'Z') || undefined)
      expect(existsSync(`${kept}/bardo/${first.pid}`)).toBe(true)
      now.type(`clear; ${program} attach; echo "attach $?"\n`)
      await now.shows(/no terminal is kept[^]*attach 1/)
      now.type(`clear; ${program} attach 77; echo "attach $?"\n`)
      await now.shows(/nobody keeps a terminal of process 77[^]*attach 1/)
    } finally {
      for (const { images, pid } of [first, second]) {
        killTree(pid)
        rmSync(images, { recursive: true, force: true })
      }
      rmSync(kept, { recursive: true, force: true })
    }
  },
  limit_ms,
)

/** Draws into the alternate screen, hides the cursor, and has pasted text marked. */
const FULL = `python3 -c '
import sys, tty, os, signal
tty.setraw(0, 1)
draw = lambda *_: os.write(1, b"\\033[H\\033[2Jfull screen %d" % os.get_terminal_size().columns)
signal.signal(signal.SIGWINCH, draw)
while 1:
  key = os.read(0, 1)
  if key == b"m": os.write(1, b"\\033[?1049h\\033[?2004h"); draw()
  if key == b"f":
    os.write(1, b"\\033[?2004l\\033[?1049l")
    for n in range(20000): os.write(1, b"line %d\\r\\n" % n)
    os._exit(3)
'`

/** How often a window was brought into the alternate screen. The mode for pasting comes behind it, in one write. */
const timesFull = (window: Window): number => window.terminal.heard().split('[?1049h\x1b[?2004h').length - 1

test(
  'who leaves a full-screen program has his emulator as it was; who comes next has it as the program wants it; the last lines are seen',
  async () => {
    const { images, pid } = await dumped(`echo ready; ${FULL}`, /^ready/m)
    using now = new Shell(40, 111)
    using other = new Shell(30, 90)
    const restored = { alternate: true, pasting: true }
    const plain = { alternate: false, pasting: false }
    try {
      now.type(`export XDG_RUNTIME_DIR=${images}; bind 'set enable-bracketed-paste off'; clear\n`)
      other.type(`export XDG_RUNTIME_DIR=${images}; bind 'set enable-bracketed-paste off'; clear\n`)
      now.type(`${program} restore --tty new --exit-status -D ${images} -o restore.log; echo "left $?"\n`)
      await now.shows('full screen 111')
      now.type('m')
      await until('the mode is set', () => timesFull(now) === 1 || undefined)
      await now.shows(/^full screen 111/)
      expect(await now.modes()).toEqual(restored)
      now.type('\x1cd')
      await now.shows('left 0')
      expect(await now.modes()).toEqual(plain)
      other.type(`${program} attach; echo "left $?"\n`)
      await other.shows(/^full screen 90/)
      expect(await other.modes()).toEqual(restored)
      // Taken over: the one before is in order, too.
      now.type(`clear; ${program} attach; echo "attach $?"\n`)
      await now.isShowing()
      await until('it is drawn', () => timesFull(now) === 2 || undefined)
      await now.shows(/^full screen 111/)
      expect(await now.modes()).toEqual(restored)
      await other.shows('is shown elsewhere now')
      expect(await other.modes()).toEqual(plain)
      now.type('f')
      await now.shows(/line 19998\nline 19999\n+\[process \d+ has ended\]/)
    } finally {
      killTree(pid)
      rmSync(images, { recursive: true, force: true })
    }
  },
  limit_ms,
)

test(
  'with nobody to look, a job that writes runs on; its keeper has no files but its own, and sleeps when nothing is said',
  async () => {
    const { images, pid } = await dumped(
      `python3 -c 'import os,signal,time
def flood(*_):
  for n in range(20000): os.write(1, b"line %d\\n" % n)
  open("/tmp/bardo-flooded", "w").close()
signal.signal(signal.SIGUSR1, flood)
os.write(1, b"ready\\n")
while 1: signal.pause()'`,
      /^ready/m,
    )
    const flooded = '/tmp/bardo-flooded'
    rmSync(flooded, { force: true })
    try {
      // A descriptor of the caller's that is nobody's business: 9.
      const restored = Bun.spawnSync(
        ['sh', '-c', `exec 9<>/dev/zero; exec ${program} restore -d --tty new -D ${images} -o restore.log`],
        { env: { ...process.env, XDG_RUNTIME_DIR: images }, stdin: 'ignore' },
      )
      expect(restored.exitCode, restored.stderr.toString()).toBe(0)
      const keeper = keeperOf(pid)
      await until('it listens', () => waitsForEver(keeper) || undefined)
      process.kill(pid, 'SIGUSR1')
      await until('all is written', () => existsSync(flooded) || undefined)
      await until('it sleeps', () => waitsForEver(keeper) || undefined)
      const links = readdirSync(`/proc/${keeper}/fd`).map(fd => readlinkSync(`/proc/${keeper}/fd/${fd}`))
      expect(links).not.toContain('/dev/zero')
      expect(links.filter(link => link.startsWith('/') && !/^\/dev\/(null|ptmx|pts\/|urandom)/.test(link))).toEqual([])
      expect(statSync(`${images}/bardo`).mode & 0o777).toBe(0o700)
      process.kill(pid, 'SIGKILL')
      await until('the keeper ends with it', () => 'Z' === (stateOf(keeper) ?? 'Z') || undefined)
      expect(readdirSync(`${images}/bardo`)).toEqual([])
    } finally {
      killTree(pid)
      rmSync(flooded, { force: true })
      rmSync(images, { recursive: true, force: true })
    }
  },
  limit_ms,
)

/** Whether it is in poll(2) without a limit of time. */
function waitsForEver(pid: number): boolean {
  const [nr, , , timeout] = readFileSync(`/proc/${pid}/syscall`, 'latin1').trim().split(' ')
  return nr === String(NR.poll) && timeout === '0xffffffffffffffff'
}

test(
  "a shell's job that is restored where there is no terminal gets a fresh one, of its old size",
  async () => {
    const { images, pid } = await dumped(RAW, /^ready/m)
    using now = new Shell(40, 111)
    try {
      restoreAway(images, images, '-j', '-d')
      expect(readFileSync(`${images}/restore.log`, 'utf8')).toContain('there is no terminal here')
      const slave = readlinkSync(`/proc/${pid}/fd/0`)
      expect(Bun.spawnSync(['stty', '-F', slave, 'size']).stdout.toString()).toBe('24 80\n')
      now.type(`XDG_RUNTIME_DIR=${images} ${program} attach ${pid}\n`)
      await now.shows('size 111')
      now.type('aq')
      await now.shows(/<a>\n+\[process \d+ has ended\]/)
    } finally {
      killTree(pid)
      rmSync(images, { recursive: true, force: true })
    }
  },
  limit_ms,
)

test(
  "on a fresh pty the old size can be kept, too; the status is the job's, and signals are",
  async () => {
    const { images, pid } = await dumped(RAW, /^ready/m)
    using now = new Shell(40, 111)
    try {
      now.type(
        `export XDG_RUNTIME_DIR=${images}; ${program} restore --tty new --keep-winsize --exit-status -D ${images} -o restore.log -v4; echo "status $?"\n`,
      )
      // It draws again, in its old size.
      await now.shows('size 80')
      process.kill(await now.job(), 'SIGTERM')
      await now.shows('term')
      now.type('q')
      await now.shows('status 7')
    } finally {
      killTree(pid)
      rmSync(images, { recursive: true, force: true })
    }
  },
  limit_ms,
)

test(
  'a fresh pty that nobody could keep is refused before there is a process',
  async () => {
    const { images, pid } = await dumped(RAW, /^ready/m)
    try {
      mkdirSync(`${images}/bardo`, { mode: 0o755 })
      const restored = Bun.spawnSync([program, 'restore', '--tty', 'new', '-D', images, '-o', 'restore.log'], {
        env: { ...process.env, XDG_RUNTIME_DIR: images },
      })
      expect(restored.exitCode).toBe(1)
      expect(restored.stderr.toString()).toContain('is not a directory of ours alone')
      expect(stateOf(pid)).toBeUndefined()
    } finally {
      rmSync(images, { recursive: true, force: true })
    }
  },
  limit_ms,
)
