// An interactive shell in a window of its own: what a user has in front of him.
import { Terminal as Emulator } from '@xterm/headless'
import { closeSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { program, sleep, until } from './harness.ts'
import { syscall } from '../../src/linux/ffi.ts'
import { NR } from '../../src/linux/nr.ts'
import { readTermios } from '../../src/kinds/tty/device.ts'
import { Terminal } from './terminal.ts'
import { treeOf } from './visible-state.ts'

const [SIGKILL, WNOHANG, WALL] = [9, 1, 0x40000000]

const ISIG = 1

const environment = {
  PATH: '/usr/bin:/bin',
  LANG: 'C.UTF-8',
  PS1: '$ ',
  TERM: 'xterm',
  HOME: '/tmp',
  LESSHISTFILE: '-',
}

/** A terminal, and what its screen shows. */
export class Window {
  readonly terminal: Terminal
  readonly rows: number
  readonly columns: number

  constructor(rows: number, columns: number) {
    this.rows = rows
    this.columns = columns
    this.terminal = new Terminal(rows, columns)
  }

  /** An emulator that has got all that was written so far. */
  async #emulator(): Promise<Emulator> {
    const emulator = new Emulator({ rows: this.rows, cols: this.columns, allowProposedApi: true })
    await new Promise<void>(resolve => emulator.write(Buffer.from(this.terminal.heard(), 'latin1'), resolve))
    return emulator
  }

  /** The lines of the screen, without spaces at their ends. */
  async screen(): Promise<string> {
    const emulator = await this.#emulator()
    const { active } = emulator.buffer
    const lines = Array.from(
      { length: this.rows },
      (_, y) => active.getLine(active.baseY + y)?.translateToString(true) ?? '',
    )
    emulator.dispose()
    return lines.join('\n')
  }

  /** What programs have done to the emulator. */
  async modes(): Promise<{ alternate: boolean; pasting: boolean }> {
    const emulator = await this.#emulator()
    const modes = {
      alternate: emulator.buffer.active.type === 'alternate',
      pasting: emulator.modes.bracketedPasteMode,
    }
    emulator.dispose()
    return modes
  }

  /** Waits until the screen says `what`. */
  async shows(what: string | RegExp, patience_ms = 10_000): Promise<string> {
    const end = performance.now() + patience_ms
    for (;;) {
      const screen = await this.screen()
      if (typeof what === 'string' ? screen.includes(what) : what.test(screen)) return screen
      if (performance.now() > end) throw new Error(`the screen never says ${String(what)}:\n${screen.trimEnd()}`)
      await sleep(20)
    }
  }

  /** Types. */
  type(text: string): void {
    this.terminal.say(text)
  }

  /** Whether every key goes to the program, ^C and the like included: a shell at its prompt leaves those to the kernel. */
  get isRaw(): boolean {
    return (readTermios(this.terminal.slave).c_lflag & ISIG) === 0
  }

  /** Waits until the window shows another terminal than its own. */
  async isShowing(): Promise<void> {
    await until('another terminal is shown', () => this.isRaw || undefined, 10_000)
  }

  /** Closes the window: its shell, and what runs in it, hear of it from the kernel. */
  hangUp(): void {
    this.terminal.hangUp()
  }

  [Symbol.dispose](): void {
    this.terminal[Symbol.dispose]()
  }
}

/** A bash whose controlling terminal is a window. */
export class Shell extends Window {
  readonly pid: number

  constructor(rows: number, columns: number) {
    super(rows, columns)
    const fd = openSync(this.terminal.path, 'r+')
    const child = Bun.spawn(['setsid', '-c', 'bash', '--norc', '--noprofile', '-i'], {
      stdin: fd,
      stdout: fd,
      stderr: fd,
      cwd: '/tmp',
      env: environment,
    })
    closeSync(fd)
    this.pid = child.pid
  }

  /** The pid of its only child, when there is one. */
  job(): Promise<number> {
    return until('the shell has a job', () => childOf(this.pid), 5000)
  }

  /** Waits until it has no child any more. */
  async isAlone(): Promise<void> {
    await until('the shell has no job', () => (childOf(this.pid) === undefined ? true : undefined), 10_000)
  }

  override [Symbol.dispose](): void {
    killTree(this.pid)
    super[Symbol.dispose]()
  }
}

/** Reads a key at a time, without echo: the settings that a careless program leaves behind. */
export const RAW = `python3 -c '
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

/** `using`: the job, wherever it runs by then, and its image do not stay. */
export interface DumpedJob extends Disposable {
  readonly images: string
  readonly pid: number
}

/** A job that was used and dumped in a window that is closed by now, and the new folder of its image. */
export async function dumpedJob(
  command: string,
  ready: string | RegExp,
  use?: (old: Shell) => Promise<unknown>,
): Promise<DumpedJob> {
  const images = mkdtempSync('/tmp/bardo-job-')
  try {
    using old = new Shell(24, 80)
    await old.shows('$ ')
    old.type(`${command}\n`)
    await old.shows(ready)
    await use?.(old)
    const pid = await old.job()
    const dumped = Bun.spawnSync([program, 'dump', '-j', '-D', images, '-o', 'dump.log', '-v4', '-t', String(pid)])
    if (dumped.exitCode !== 0) throw new Error(`dump: ${dumped.stderr.toString()}`)
    // As the image has them: /proc may miss some while the tree runs.
    await areGone(readdirSync(images).flatMap(file => Number(/^core-(\d+)\.img$/.exec(file)?.[1]) || []))
    const dispose = (): void => {
      killTree(pid)
      rmSync(images, { recursive: true, force: true })
    }
    return { images, pid, [Symbol.dispose]: dispose }
  } catch (error) {
    rmSync(images, { recursive: true, force: true })
    throw error
  }
}

/** Restores without a terminal. */
export function restoreAway(images: string, kept: string, ...words: readonly string[]): void {
  const restored = Bun.spawnSync([program, 'restore', ...words, '-D', images, '-o', 'restore.log', '-v4'], {
    env: { ...process.env, XDG_RUNTIME_DIR: kept },
    stdin: 'ignore',
  })
  if (restored.exitCode !== 0) throw new Error(`restore: ${restored.stderr.toString()}`)
}

/** The keeper of `pid`: a process that has its number among its words. */
export function keeperOf(pid: number): Promise<number> {
  const isKeeper = (name: string): boolean => {
    try {
      const words = readFileSync(`/proc/${name}/cmdline`, 'latin1').split('\0')
      return words.includes('--keep-terminal') && words.some(word => word.endsWith(`/bardo/${pid}`))
    } catch {
      return false
    }
  }
  return until(`process ${pid} has a keeper`, () => {
    const found = readdirSync('/proc').filter(name => /^\d+$/.test(name) && isKeeper(name))
    return found.length === 1 ? Number(found[0]) : undefined
  })
}

export const childOf = (pid: number): number | undefined =>
  Number(readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ')[0]) || undefined

/** Ends a process and all below it. */
export function killTree(pid: number): void {
  if (stateOf(pid) === undefined) return
  for (const one of treeOf(pid)) syscall(NR.kill, one, SIGKILL)
}

/** Waits until none of the pids is left; those that came to us as orphans are reaped. */
export async function areGone(pids: readonly number[]): Promise<void> {
  for (const pid of pids)
    await until(
      `${pid} is gone`,
      () => {
        if (stateOf(pid) === undefined) return true
        syscall(NR.wait4, pid, 0, WNOHANG | WALL, 0)
        return undefined
      },
      10_000,
    )
}

/** The state of a process, such as S or T; undefined when it is not there. */
export function stateOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    return stat.slice(stat.lastIndexOf(')') + 2)[0]
  } catch {
    return undefined
  }
}
