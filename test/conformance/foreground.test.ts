// A restore that stays with its job, as a shell does: ^Z, fg, bg, the user's own settings, signals, the exit status.
import { expect, test } from 'bun:test'
import { closeSync, existsSync, openSync, readdirSync, readFileSync } from 'node:fs'
import { program, until } from './harness.ts'
import { childOf, dumpedJob, killTree, RAW, Shell, stateOf, Window } from './shell.ts'
import { treeOf } from './visible-state.ts'

const limit_ms = 60_000

test(
  'a raw job hears of the new size, stops, goes on, is signalled, and leaves a terminal in order',
  async () => {
    using now = new Shell(40, 111)
    using job = await dumpedJob(RAW, /^ready/m, old => {
      old.type('a')
      return old.shows('<a>')
    })
    const { images, pid } = job
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
      using now = new Shell(40, 111)
      using place = new Window(20, 60)
      using job = await dumpedJob(RAW, /^ready/m)
      const { images, pid } = job
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
    },
    limit_ms,
  )

test(
  "--tty with the terminal that we are on makes it our shell's job",
  async () => {
    using now = new Shell(40, 111)
    using job = await dumpedJob(RAW, /^ready/m)
    const { images, pid } = job
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
  },
  limit_ms,
)

const saysFinished = (images: string): boolean =>
  existsSync(`${images}/restore.log`) &&
  readFileSync(`${images}/restore.log`, 'utf8').includes('Restore finished successfully. Tasks resumed.')

/** Reads nothing; says what signals it gets. */
const DEAF = `sh -c 'trap "echo caught" INT; trap "echo again" CONT; stty -echo; echo up; while :; do sleep 0.05; done'`

test(
  'a restore in the background leaves the terminal to who has it; fg gives it to the job, with its settings',
  async () => {
    using job = await dumpedJob(RAW, /^ready/m)
    const { images, pid } = job
    using now = new Shell(24, 80)
    await now.shows('$ ')
    // set -b: it says so whenever it hears of it, which is when the last thread of the restore has stopped, not the first.
    now.type(`set -b; ${program} restore -j --exit-status -D ${images} -o restore.log -v4 &\n`)
    // It reads, and is stopped for it, and the restore with it.
    await until('both are stopped', () => (stateOf(pid) === 'T' && stateOf(childOf(now.pid)!) === 'T') || undefined)
    now.type('\n')
    await now.shows(/Stopped/)
    now.type('clear; stty -a | grep -o "[-]*icanon"\n')
    await now.shows(/^icanon/m)
    now.type('fg\n')
    await until('the job has the terminal', () => now.isRaw || undefined, 5000)
    now.type('b')
    await now.shows('<b>')
    now.type('q')
    await now.isAlone()
    now.type('clear; echo "ended $?"; stty -a | grep -o "[-]*icanon"\n')
    await now.shows(/^ended 0\nicanon/m)
  },
  limit_ms,
)

test(
  'what the kernel sends for keys reaches all of the job also when fg has told nobody; it ends in the background without a trace',
  async () => {
    using job = await dumpedJob(DEAF, /^up/m)
    const { images, pid } = job
    using now = new Shell(24, 80)
    await now.shows('$ ')
    now.type(`${program} restore -j -D ${images} -o restore.log -v4 &\n`)
    await until('the tree runs', () => saysFinished(images) || undefined)
    await now.shows(/\[1\]/)
    // bash sends no signal to a job that runs in the background already, and the job does not read.
    now.type('fg\n')
    await now.shows(/bardo restore[^]*bardo restore/)
    now.type('\x03')
    await now.shows('caught')
    now.type('\x1a')
    await now.shows(/Stopped/)
    expect(stateOf(pid)).toBe('T')
    now.type('bg\n')
    await now.shows('again')
    // Somebody else's settings now: the end of the job changes nothing about them.
    const restore = childOf(now.pid)!
    now.type('clear; sh -c \'stty -icanon -echo; echo mine; read x; stty -a | grep -o "[-]icanon"\'\n')
    await now.shows(/^mine/m)
    killTree(pid)
    await until('the restore has ended', () => 'Z' === (stateOf(restore) ?? 'Z') || undefined, 5000)
    now.type('x\n')
    await now.shows(/^-icanon/m)
  },
  limit_ms,
)

test(
  'a restore that is killed leaves the terminal as it was, and the job alone',
  async () => {
    using job = await dumpedJob(DEAF, /^up/m)
    const { images, pid } = job
    using now = new Shell(40, 111)
    await now.shows('$ ')
    // Whoever looks may be quicker than who puts it in order. Under a script, which puts nothing in order itself, and has the terminal again.
    now.type(
      `sh -c '${program} restore -j -D ${images} -o restore.log -v4; echo "status $?"; until stty -a | grep -q " echo "; do sleep 0.02; done; echo in order; cat'\n`,
    )
    await until('the tree runs', () => saysFinished(images) || undefined)
    const script = await now.job()
    const restore = childOf(script)!
    process.kill(restore, 'SIGKILL')
    await now.shows(/^status 137\nin order$/m)
    now.type('typed\n')
    await now.shows(/^typed\ntyped/m)
    // D: it waits for the vfork of a sleep.
    expect(['S', 'R', 'D']).toContain(String(stateOf(pid)))
    now.type('\x04')
    await now.isAlone()
    now.type('echo $((20 + 3))\n')
    await now.shows(/^23/m)
  },
  limit_ms,
)

test(
  'the log says that the restore has finished when the tree runs; then nothing but the job is there, with its own files only',
  async () => {
    using job = await dumpedJob(RAW, /^ready/m)
    const { images, pid } = job
    using now = new Shell(24, 80)
    await now.shows('$ ')
    now.type(`${program} restore -j -D ${images} -o restore.log -v4\n`)
    // It is told to draw, though its window has the old size.
    await now.shows('size 80')
    expect(saysFinished(images)).toBe(true)
    expect(readdirSync(`/proc/${pid}/fd`)).toEqual(['0', '1', '2'])
    const restore = await now.job()
    const guards = treeOf(restore).filter(one => one !== restore && one !== pid)
    expect(guards).toHaveLength(1)
    now.type('q')
    await now.isAlone()
    expect(stateOf(guards[0]!)).toBeUndefined()
    expect(readFileSync(`${images}/restore.log`, 'utf8').match(/Restore finished/g)).toHaveLength(1)
  },
  limit_ms,
)

test(
  "a detached restore of a shell's job leaves the shell a terminal in order",
  async () => {
    using job = await dumpedJob(DEAF, /^up/m)
    const { images, pid } = job
    using now = new Shell(40, 111)
    await now.shows('$ ')
    now.type(`${program} restore -d -j -D ${images} -o restore.log -v4; stty -a | grep -o "[-]*echo "\n`)
    await now.shows(/^echo $/m)
    // D: it waits for the vfork of a sleep.
    expect(['S', 'R', 'D']).toContain(String(stateOf(pid)))
  },
  limit_ms,
)

test(
  'where no shell could continue it, a ^Z does not stop the job for good; a window that is closed ends it, and the restore',
  async () => {
    using job = await dumpedJob('cat', /cat/)
    const { images, pid } = job
    using now = new Window(40, 111)
    const fd = openSync(now.terminal.path, 'r+')
    const words = ['setsid', '-c', program, 'restore', '-j', '-D', images, '-o', 'restore.log', '-v4']
    const restore = Bun.spawn(words, { stdio: [fd, fd, fd] })
    closeSync(fd)
    try {
      await until('the tree runs', () => saysFinished(images) || undefined)
      now.type('\x1a')
      await now.shows('^Z')
      now.type('typed\n')
      await now.shows(/typed\ntyped/)
      now.hangUp()
      expect(await restore.exited).toBe(0)
      await until('the job has ended', () => 'Z' === (stateOf(pid) ?? 'Z') || undefined)
    } finally {
      restore.kill('SIGKILL')
    }
  },
  limit_ms,
)
