// Kept terminals (--tty new) as their users see them: left, shown elsewhere, taken over, one of several.
import { expect, test } from 'bun:test'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { program, until } from './harness.ts'
import { dumpedJob, keeperOf, killTree, RAW, restoreAway, Shell, stateOf, type Window } from './shell.ts'

const limit_ms = 60_000

test(
  'a job moves to a fresh pty, is left, and shown again in another window',
  async () => {
    using now = new Shell(40, 111)
    using other = new Shell(30, 90)
    using job = await dumpedJob(RAW, /^ready/m)
    const { images, pid } = job
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
  },
  limit_ms,
)

test(
  'of several that are kept attach wants one named; what a killed keeper left behind is none',
  async () => {
    const first = await dumpedJob(RAW, /^ready/m)
    const second = await dumpedJob(RAW, /^ready/m)
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
      const keeper = await keeperOf(first.pid)
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
    using job = await dumpedJob(`echo ready; ${FULL}`, /^ready/m)
    const { images } = job
    using now = new Shell(40, 111)
    using other = new Shell(30, 90)
    const restored = { alternate: true, pasting: true }
    const plain = { alternate: false, pasting: false }
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
  },
  limit_ms,
)

test(
  "on a fresh pty the old size can be kept, too; the status is the job's, and signals are",
  async () => {
    using job = await dumpedJob(RAW, /^ready/m)
    const { images } = job
    using now = new Shell(40, 111)
    now.type(
      `export XDG_RUNTIME_DIR=${images}; ${program} restore --tty new --keep-winsize --exit-status -D ${images} -o restore.log -v4; echo "status $?"\n`,
    )
    // It draws again, in its old size.
    await now.shows('size 80')
    process.kill(await now.job(), 'SIGTERM')
    await now.shows('term')
    now.type('q')
    await now.shows('status 7')
  },
  limit_ms,
)
