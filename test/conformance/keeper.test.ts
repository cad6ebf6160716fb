// A job on a fresh pty (--tty new) outlives who shows it, however that ends.
import { expect, test } from 'bun:test'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, statSync } from 'node:fs'
import { program, until } from './harness.ts'
import { areGone, childOf, dumpedJob, keeperOf, killTree, restoreAway, RAW, Shell, stateOf, Window } from './shell.ts'
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
  'a detached restore leaves a fresh pty to its keeper; who asks for no terminal is told which are kept',
  async () => {
    using now = new Shell(40, 111)
    using job = await dumpedJob(RAW, /^ready/m)
    const { images } = job
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

test(
  'a restore that is killed while it shows a fresh pty leaves the terminal in order, and the job to its keeper',
  async () => {
    using job = await dumpedJob(RAW, /^ready/m)
    const { images } = job
    using now = new Shell(40, 111)
    now.type(
      `export XDG_RUNTIME_DIR=${images}; sh -c '${program} restore --tty new -D ${images} -o restore.log; echo "status $?"; until stty -a | grep -q " icanon"; do sleep 0.02; done; echo in order'\n`,
    )
    await now.shows('size 111')
    await now.isShowing()
    process.kill(childOf(await now.job())!, 'SIGKILL')
    await now.shows(/status 137\s+in order$/m)
    now.type(`clear; ${program} attach --\n`)
    await now.isShowing()
    now.type('a')
    await now.shows('<a>')
    now.type('q')
    await now.shows('has ended')
  },
  limit_ms,
)

test(
  'with nobody to look, a job that writes runs on; its keeper has no files but its own, and sleeps when nothing is said',
  async () => {
    using job = await dumpedJob(
      `python3 -c 'import os,signal,time
def flood(*_):
  for n in range(20000): os.write(1, b"line %d\\n" % n)
  open("/tmp/bardo-flooded", "w").close()
signal.signal(signal.SIGUSR1, flood)
os.write(1, b"ready\\n")
while 1: signal.pause()'`,
      /^ready/m,
    )
    const { images, pid } = job
    const flooded = '/tmp/bardo-flooded'
    rmSync(flooded, { force: true })
    try {
      // A descriptor of the caller's that is nobody's business: 9.
      const restored = Bun.spawnSync(
        ['sh', '-c', `exec 9<>/dev/zero; exec ${program} restore -d --tty new -D ${images} -o restore.log`],
        { env: { ...process.env, XDG_RUNTIME_DIR: images }, stdin: 'ignore' },
      )
      expect(restored.exitCode, restored.stderr.toString()).toBe(0)
      const keeper = await keeperOf(pid)
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
      rmSync(flooded, { force: true })
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
    using job = await dumpedJob(RAW, /^ready/m)
    const { images, pid } = job
    using now = new Shell(40, 111)
    restoreAway(images, images, '-j', '-d')
    expect(readFileSync(`${images}/restore.log`, 'utf8')).toContain('there is no terminal here')
    const slave = readlinkSync(`/proc/${pid}/fd/0`)
    expect(Bun.spawnSync(['stty', '-F', slave, 'size']).stdout.toString()).toBe('24 80\n')
    now.type(`XDG_RUNTIME_DIR=${images} ${program} attach ${pid}\n`)
    await now.shows('size 111')
    now.type('aq')
    await now.shows(/<a>\n+\[process \d+ has ended\]/)
  },
  limit_ms,
)

test(
  'a fresh pty that nobody could keep is refused before there is a process',
  async () => {
    using job = await dumpedJob(RAW, /^ready/m)
    const { images, pid } = job
    mkdirSync(`${images}/bardo`, { mode: 0o755 })
    const restored = Bun.spawnSync([program, 'restore', '--tty', 'new', '-D', images, '-o', 'restore.log'], {
      env: { ...process.env, XDG_RUNTIME_DIR: images },
    })
    expect(restored.exitCode).toBe(1)
    expect(restored.stderr.toString()).toContain('is not a directory of ours alone')
    expect(stateOf(pid)).toBeUndefined()
  },
  limit_ms,
)
