// A restore that stays with its job, as a shell does: ^Z, fg, the user's own settings, signals, the exit status; and a job
// on a fresh pty (--tty new), left and shown again elsewhere.
import { expect, test } from 'bun:test'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { program, until } from './harness.ts'
import { areGone, killTree, Shell, stateOf, Window } from './shell.ts'
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

/** Dumps what `shell` runs as its job. */
async function dumpJob(shell: Shell, images: string): Promise<number> {
  const pid = await shell.job()
  const dumped = Bun.spawnSync([program, 'dump', '-j', '-D', images, '-o', 'dump.log', '-v4', '-t', String(pid)])
  expect(dumped.exitCode, dumped.stderr.toString()).toBe(0)
  await areGone([pid])
  return pid
}

/** Reads a key at a time, without echo: the settings that a careless program leaves behind. */
const RAW = `python3 -c '
import sys, tty, os, signal
tty.setraw(0, 1)
signal.signal(signal.SIGWINCH, lambda *_: os.write(1, b"size %d\\r\\n" % os.get_terminal_size().columns))
signal.signal(signal.SIGTERM, lambda *_: os.write(1, b"term\\r\\n"))
os.write(1, b"ready\\r\\n")
while 1:
  try: key = os.read(0, 1)
  except InterruptedError: continue
  if key == b"q": os._exit(7)
  if key == b"k": os.kill(os.getpid(), 9)
  if key == b"z": os.kill(os.getpid(), signal.SIGTSTP)
  os.write(1, b"<%s>\\r\\n" % key)
'`

test(
  'a raw job hears of the new size, stops, goes on, is signalled, and leaves a terminal in order',
  async () => {
    const images = mkdtempSync('/tmp/bardo-foreground-')
    using old = new Shell(24, 80)
    using now = new Shell(40, 111)
    try {
      await old.shows('$ ')
      old.type(`${RAW}\n`)
      await old.shows(/^ready/m)
      old.type('a')
      await old.shows('<a>')
      const pid = await dumpJob(old, images)
      now.type(`stty -a | grep -o '.icanon'; ${program} restore -j --exit-status -D ${images} -o restore.log -v4\n`)
      await now.shows('size 111')
      now.type('b')
      await now.shows('<b>')
      // The shell has its terminal back while the job is stopped, with echo and lines.
      now.type('z')
      await now.shows(/Stopped/)
      expect(stateOf(pid)).toBe('T')
      now.type('stty -a | grep -o "[-]*icanon"; echo $((20 + 3))\n')
      await now.shows(/^icanon\n23/m)
      now.type('fg\n')
      await until('it runs', () => stateOf(pid) === 'S' || undefined, 5000)
      now.type('c')
      await now.shows('<c>')
      const restore = await now.job()
      process.kill(restore, 'SIGTERM')
      await now.shows('term')
      now.type('q')
      await now.isAlone()
      now.type('echo "ended $?"; stty -a | grep -o "[-]*icanon"\n')
      await now.shows(/^ended 7\nicanon/m)
      // Killed, it is as a shell tells it; without the option, a restore has succeeded.
      now.type(`clear; ${program} restore -j --exit-status -D ${images} -o restore.log -v4; echo "killed $?"\n`)
      await now.shows('size 111')
      now.type('k')
      await now.shows('killed 137')
      now.type(`clear; ${program} restore -j -D ${images} -o restore.log -v4; echo "without $?"\n`)
      await now.shows('size 111')
      now.type('q')
      await now.shows('without 0')
      // The old size on demand, and the window's own behind it.
      now.type(`clear; ${program} restore -j --keep-winsize -D ${images} -o restore.log -v4; stty size\n`)
      await until('it runs', () => stateOf(pid) === 'S' || undefined, 5000)
      now.type('d')
      expect(await now.shows('<d>')).not.toContain('size')
      now.type('q')
      await now.shows('40 111')
    } finally {
      rmSync(images, { recursive: true, force: true })
    }
  },
  limit_ms,
)

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

/** A terminal outside that nobody named at the restore: what stands for it is chosen for all. */
const choices = [
  { name: 'a path', words: (path: string) => `--tty ${path}` },
  { name: 'a descriptor', words: (path: string) => `--tty fd:9 9<>${path}` },
]
for (const { name, words } of choices)
  test(
    `a job is put on ${name}`,
    async () => {
      const images = mkdtempSync('/tmp/bardo-put-')
      using old = new Shell(24, 80)
      using now = new Shell(40, 111)
      using place = new Window(20, 60)
      let pid = 0
      try {
        await old.shows('$ ')
        old.type(`${RAW}\n`)
        await old.shows(/^ready/m)
        pid = await dumpJob(old, images)
        now.type(
          `${program} restore --exit-status -D ${images} -o restore.log -v4 ${words(place.terminal.path)}; echo "ended $?"\n`,
        )
        await place.shows('size 60')
        place.type('a')
        await place.shows('<a>')
        // It is the terminal of its session: a hang-up of it, and ^C, are the job's.
        expect(readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')[1]!.split(' ')[3]).toBe(String(pid))
        place.type('q')
        await now.shows('ended 7')
        now.type('echo $((20 + 3))\n')
        await now.shows(/^23/m)
      } finally {
        if (pid !== 0) killTree(pid)
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
  "--tty with the terminal that we are on makes it our shell's job",
  async () => {
    const images = mkdtempSync('/tmp/bardo-here-')
    using old = new Shell(24, 80)
    using now = new Shell(40, 111)
    try {
      await old.shows('$ ')
      old.type(`${RAW}\n`)
      await old.shows(/^ready/m)
      const pid = await dumpJob(old, images)
      now.type(`${program} restore --tty ${now.terminal.path} -D ${images} -o restore.log -v4\n`)
      await now.shows('size 111')
      now.type('z')
      await now.shows(/Stopped/)
      expect(stateOf(pid)).toBe('T')
      now.type('fg\n')
      await until('it runs', () => stateOf(pid) === 'S' || undefined, 5000)
      now.type('q')
      await now.isAlone()
      now.type('clear; stty -a | grep -o "[-]*icanon"\n')
      await now.shows(/^icanon/m)
    } finally {
      rmSync(images, { recursive: true, force: true })
    }
  },
  limit_ms,
)

console.log(
  'skipped: a whole shell under a keeper, whose window attached again does not always show all (open, issue 3)',
)
test.skip(
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
        now.type('\x03')
        now.hangUp()
        await until('the keeper is there', () => existsSync(`${images}/bardo/${pid}`) || undefined, 10_000)
      }
      expect(['S', 'R']).toContain(String(stateOf(pid)))
      other.type(`export XDG_RUNTIME_DIR=${images}; ${program} attach; echo "attach $?"\n`)
      await until('it is shown', () => /attach/.test(other.terminal.heard()) || undefined, 5000)
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
