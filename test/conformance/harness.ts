// Runs workloads: natively, through a dump and a restore, twice, and beside a dump that leaves them running.
//
// The tests are the reaper of all that they start: the dumped originals and the restored trees become their children
// (PR_SET_CHILD_SUBREAPER), so a pid is known to be free before it is asked for again.
//
// BARDO names the program under test, ./bardo unless set; any criu-compatible program will do, so that a test that
// fails with it can be asked whether it is right. BARDO_DUMP and BARDO_RESTORE name one for one half only: what one
// program dumps another restores.
import { spawn as spawnChild, type Subprocess } from 'bun'
import {
  appendFileSync,
  chmodSync,
  closeSync,
  constants,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { syscall, Arena } from '../../src/linux/ffi.ts'
import { NR } from '../../src/linux/nr.ts'
import { childrenOf, treeOf } from './visible-state.ts'
import { build, projectRoot, type Workload } from './workload-list.ts'

const PR_SET_CHILD_SUBREAPER = 36
const [WNOHANG, ECHILD, WALL] = [1, 10, 0x40000000]
const [SIGKILL, SIGCONT] = [9, 18]

/** How long anything may take: the machines that run the tests are slow and shared. */
export const patience_ms = 20_000

export const program = process.env['BARDO'] ?? join(projectRoot, 'bardo')
const usual = { dump: process.env['BARDO_DUMP'] ?? program, restore: process.env['BARDO_RESTORE'] ?? program }
type Verb = keyof typeof usual

const statusWord = new Arena(4096)

function becomeReaper(): void {
  if (syscall(NR.prctl, PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) !== 0) throw new Error('cannot become a child subreaper')
}

export const sleep = (ms: number): Promise<void> => new Promise(resolve => setTimeout(resolve, ms))

/** Asks until the answer is not undefined; throws after `patience_ms`. */
export async function until<T>(what: string, ask: () => T | undefined, patience = patience_ms): Promise<T> {
  const end = performance.now() + patience
  for (;;) {
    const answer = ask()
    if (answer !== undefined) return answer
    if (performance.now() > end) throw new Error(`waited ${patience} ms in vain: ${what}`)
    await sleep(3)
  }
}

/** Reaps `pid` if it is a dead child of ours: its wait status, undefined while it lives, 'other' when it is not ours. */
function reap(pid: number): number | 'other' | undefined {
  const result = syscall(NR.wait4, pid, statusWord.address, WNOHANG | WALL, 0)
  if (result === -ECHILD) return 'other'
  return result === pid ? statusWord.view.getInt32(0, true) : undefined
}

const exists = (pid: number): boolean => syscall(NR.kill, pid, 0) !== -3

/** Waits until none of the pids is left, not even as a zombie; reaps all that came to us but `others`. */
async function gone(pids: readonly number[], others: ReadonlySet<number>): Promise<void> {
  for (const pid of pids)
    await until(`${pid} is gone`, () => (reap(pid) === 'other' && !exists(pid) ? true : undefined))
  // A tree that never stands still has pids that nobody noted. The runtime's own children are `others`.
  await until(
    'no orphan is left',
    () => {
      const orphans = childrenOf(process.pid).filter(pid => !others.has(pid))
      for (const pid of orphans) reap(pid)
      return orphans.length === 0 || undefined
    },
    3000,
  )
}

/** Words as a shell takes them. */
const quoted = (words: readonly string[]): string => words.map(word => `'${word}'`).join(' ')

export interface Ended {
  readonly exitCode: number
  readonly output: string
}

export interface RunOptions {
  readonly cwd?: string
  readonly env?: Record<string, string>
  /** A descriptor that is its stdin, stdout and stderr. */
  readonly terminal?: number
}

/** Runs a command to its end, bounded. Its output is text of both streams, none when it has a terminal. */
export async function run(command: readonly string[], options: RunOptions = {}): Promise<Ended> {
  const place = { ...(options.cwd === undefined ? {} : { cwd: options.cwd }), env: { ...process.env, ...options.env } }
  const bounds = { timeout: patience_ms, killSignal: 'SIGKILL' } as const
  if (options.terminal !== undefined) {
    const fd = options.terminal
    const child = spawnChild([...command], { stdin: fd, stdout: fd, stderr: fd, ...bounds, ...place })
    return { exitCode: await child.exited, output: '' }
  }
  const child = spawnChild([...command], { stdin: 'ignore', stdout: 'pipe', stderr: 'pipe', ...bounds, ...place })
  const [out, err, exitCode] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited])
  return { exitCode, output: out + err }
}

/** One run of one workload, in a folder of its own. `await using`: whatever happens, nothing of it stays. */
export class Run {
  readonly workload: Workload
  readonly folder: string
  pid = 0
  #original: Subprocess | undefined
  #pids = new Set<number>()
  #held: number[] = []
  #images = 0
  #keep = true
  readonly #others = new Set(childrenOf(process.pid))

  readonly #programs: Readonly<Record<Verb, string>>

  /** `programs` name others for one half or both. */
  constructor(workload: Workload, programs: Partial<Record<Verb, string>> = {}) {
    becomeReaper()
    this.workload = workload
    this.#programs = { ...usual, ...programs }
    this.folder = mkdtempSync(join(tmpdir(), `bardo-${workload.name}-`))
    // Workloads change their user.
    chmodSync(this.folder, 0o777)
    for (const name of ['ready', 'prepared', 'result', 'output']) {
      writeFileSync(this.path(name), '')
      chmodSync(this.path(name), 0o666)
    }
    const made = Bun.spawnSync(['mkfifo', '-m', '666', this.path('go')])
    if (made.exitCode !== 0) throw new Error('cannot make a FIFO')
  }

  path(name: string): string {
    return join(this.folder, name)
  }

  /** Starts the workload, a session leader, and waits until it says that it is ready. */
  async start(...args: string[]): Promise<void> {
    const binary = build(this.workload)
    const log = openSync(this.path('output'), constants.O_WRONLY | constants.O_APPEND)
    const child = spawnChild([binary, this.folder, ...args], {
      stdin: 'ignore',
      stdout: log,
      stderr: log,
      detached: true,
      cwd: this.folder,
      env: { PATH: '/usr/bin:/bin', LANG: 'C' },
    })
    closeSync(log)
    this.#original = child
    this.pid = child.pid
    this.#pids.add(child.pid)
    await until(`${this.workload.name} is ready`, () => {
      if (child.exitCode !== null || child.signalCode !== null) throw new Error(`it ended early: ${this.result()}`)
      return readFileSync(this.path('ready'), 'utf8').endsWith('\n') || undefined
    })
    // From its ready() to its wait it has a few microseconds to go.
    await sleep(20)
    this.remember()
  }

  /** Starts the workload as the job of a shell, by typing into its window. */
  async startIn(window: { type(text: string): void }, ...args: string[]): Promise<void> {
    window.type(`${quoted([build(this.workload), this.folder, ...args])}\n`)
    this.pid = await until(
      `${this.workload.name} is ready`,
      () => Number(/^(\d+)\n/.exec(readFileSync(this.path('ready'), 'utf8'))?.[1] ?? 0) || undefined,
    )
    await sleep(20)
    this.remember()
  }

  /** Restores as the job of a shell; `more` are words as a shell takes them. */
  async restoreIn(window: { type(text: string): void }, images: string, more: string): Promise<void> {
    const words = quoted([this.#programs.restore, 'restore', '-D', images, '-v4', '-o', 'restore.log'])
    appendFileSync(this.path('commands'), `${words} ${more}\n`)
    window.type(`${words} ${more}\n`)
    const log = join(images, 'restore.log')
    await until('the tree runs in the window', () => {
      const text = existsSync(log) ? readFileSync(log, 'utf8') : ''
      if (text.includes('Error')) throw new Error(text.split('\n').slice(-25).join('\n'))
      return text.includes('Restored process') || undefined
    })
    await sleep(20)
    this.remember()
  }

  /** Notes the tree as it is: these pids must be gone after the dump, and are killed if the test fails. */
  remember(): number[] {
    const pids = treeOf(this.pid)
    for (const pid of pids) this.#pids.add(pid)
    return pids
  }

  result(): string {
    return readFileSync(this.path('result'), 'utf8') + readFileSync(this.path('output'), 'utf8')
  }

  /** Dumps the tree. Without `leaveRunning` it is gone afterwards, reaped. The image folder. */
  async dump(options: { leaveRunning?: boolean; more?: readonly string[] } = {}): Promise<string> {
    const pids = this.remember()
    const ended = await this.attempt('dump', [...(options.leaveRunning ? ['-R'] : []), ...(options.more ?? [])])
    this.#mustBeGood('dump', ended)
    if (options.leaveRunning) return ended.images
    if (this.#original !== undefined) {
      await until(
        'the dumped root has ended',
        () => this.#original!.signalCode ?? this.#original!.exitCode ?? undefined,
      )
      this.#original = undefined
    }
    await gone(pids, this.#others)
    return ended.images
  }

  /** Restores from a folder that `dump` gave; the tree is ours again, with the same pids. */
  async restore(images: string, options: { more?: readonly string[]; terminal?: number } = {}): Promise<void> {
    const { terminal } = options
    const ended = await this.#command('restore', images, ['-d', ...(options.more ?? [])], terminal)
    this.#mustBeGood('restore', ended)
    await until('the restored root is there', () => exists(this.pid) || undefined, 1000)
    await sleep(20)
    this.remember()
  }

  /** Tries a dump into a new folder, whatever comes of it. */
  async attempt(verb: 'dump', more: readonly string[] = []): Promise<Ended & { log: string; images: string }> {
    const images = this.path(`images-${++this.#images}`)
    mkdirSync(images)
    return { ...(await this.#command(verb, images, ['-t', String(this.pid), ...more])), images }
  }

  async #command(
    verb: Verb,
    images: string,
    more: readonly string[],
    terminal?: number,
  ): Promise<Ended & { log: string }> {
    const command = [this.#programs[verb], verb, '-D', images, '-v4', '-o', `${verb}.log`, ...more]
    appendFileSync(this.path('commands'), `${quoted(command)}\n`)
    const ended = await run(command, terminal === undefined ? {} : { terminal })
    const logFile = join(images, `${verb}.log`)
    return { ...ended, log: existsSync(logFile) ? readFileSync(logFile, 'utf8') : '' }
  }

  #mustBeGood(verb: Verb, ended: Ended & { log: string }): void {
    if (ended.exitCode === 0) return
    const log = ended.log.split('\n').slice(-25).join('\n')
    throw new Error(`${verb} ended with ${ended.exitCode}\n${ended.output}\n${log}`)
  }

  /** Lets the workload go on to its end. Throws unless it says PASS and ends with 0. */
  async finish(): Promise<void> {
    // Held open for reading and writing: whoever comes to its wait later goes through as well.
    this.#held.push(openSync(this.path('go'), constants.O_RDWR | constants.O_NONBLOCK))
    const status = await until(`${this.workload.name} ends after its go`, () => {
      if (this.#original === undefined) {
        const status = reap(this.pid)
        // A shell's job gives its status to the shell.
        return status === 'other' ? (exists(this.pid) ? undefined : 0) : status
      }
      const { exitCode, signalCode } = this.#original
      return exitCode ?? (signalCode === null ? undefined : 128)
    })
    if (status !== 0 || this.result() !== 'PASS\n') throw new Error(`it ended with ${status}:\n${this.result()}`)
    this.#keep = false
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#keep) for (const pid of childrenOf(process.pid)) if (!this.#others.has(pid)) this.#pids.add(pid)
    for (const pid of this.#pids) {
      // A pid may be another's by now: only what runs our program is ended.
      const ours = this.#keep && existsSync(`/proc/${pid}`) && this.#runsOurs(pid)
      if (ours) for (const signal of [SIGKILL, SIGCONT]) syscall(NR.kill, pid, signal)
    }
    for (const fd of this.#held) closeSync(fd)
    await sleep(0)
    for (const pid of this.#pids) if (pid !== this.#original?.pid) reap(pid)
    if (this.#keep) {
      console.error(
        `kept ${this.folder}: its commands are in ${this.path('commands')}, the logs in images-*; go on with\n` +
          `  tools/bun test test/conformance -t '${this.workload.name}'`,
      )
    } else rmSync(this.folder, { recursive: true, force: true })
  }

  #runsOurs(pid: number): boolean {
    try {
      const environ = readFileSync(`/proc/${pid}/cmdline`, 'latin1')
      return environ.includes(this.folder) || environ === ''
    } catch {
      return false
    }
  }
}
