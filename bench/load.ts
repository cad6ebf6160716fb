// A running load: a process tree of ours in a session of its own, and the board by which it tells what it saw.
import { execFileSync } from 'node:child_process'
import { closeSync, ftruncateSync, openSync, readFileSync, readSync, readdirSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { PR_SET_CHILD_SUBREAPER, WALL, WNOHANG } from '../src/linux/constants.ts'
import { must, sys } from '../src/linux/sys.ts'

/** What is run: the C program of bench/loads and its arguments, and what a look at it must find. */
export type LoadKind = {
  readonly name: string
  readonly title: string
  readonly program: string
  readonly args: readonly string[]
  readonly tasks: number
  /** What a dump or restore of it makes the system take, about. */
  readonly megabytes: number
}

export const KINDS: readonly LoadKind[] = [
  { name: 'idle', title: 'one idle process', program: 'memory', args: ['0', '1'], tasks: 1, megabytes: 0 },
  { name: '64m', title: '64 MB', program: 'memory', args: ['64', '1'], tasks: 1, megabytes: 80 },
  { name: '1g', title: '1 GB dense', program: 'memory', args: ['1024', '1'], tasks: 1, megabytes: 1400 },
  {
    name: 'sparse',
    title: '256 MB, every second page',
    program: 'memory',
    args: ['256', '2'],
    tasks: 1,
    megabytes: 160,
  },
  { name: 'processes', title: '100 processes', program: 'processes', args: ['100'], tasks: 100, megabytes: 20 },
  { name: 'threads', title: '200 threads', program: 'threads', args: ['200'], tasks: 200, megabytes: 10 },
]

const PROGRAMS = ['memory', 'processes', 'threads', 'timed']

/** Compiles the programs of bench/loads into `directory`. */
export function compile(directory: string): void {
  for (const program of PROGRAMS) {
    const source = join(import.meta.dir, 'loads', `${program}.c`)
    execFileSync('gcc', ['-O2', '-pthread', '-o', join(directory, program), source], { stdio: 'inherit' })
  }
}

/** From now on orphans below us come to us: restored trees do, and the children of a dumped root. Only so can they be reaped. */
export function adoptOrphans(): void {
  must('prctl', PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
}

// struct board of loads/load.h.
const [BOARD_ROUND, BOARD_CHECK, BOARD_BEATS, BEAT_SIZE, BEATS] = [0, 4, 8, 24, 2]
const BOARD_SIZE = BOARD_BEATS + BEATS * BEAT_SIZE
const BOARD_FILE_SIZE = 4096
const PATIENCE_MS = 20_000

type Beat = { readonly count: bigint; readonly gap_ns: bigint; readonly round: bigint }

export class Load {
  readonly pid: number
  readonly #kind: LoadKind
  readonly #board: number
  #round = 0
  /** All pids that the tree had when we last looked. */
  #pids: number[] = []

  /** Starts the load; it is ready when this returns. `directory` holds the programs and gets the board. */
  constructor(kind: LoadKind, directory: string) {
    const path = join(directory, 'board')
    this.#kind = kind
    this.#board = openSync(path, 'w+')
    ftruncateSync(this.#board, BOARD_FILE_SIZE)
    const printed = execFileSync(join(directory, kind.program), [path, ...kind.args], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    this.pid = parseInt(printed.toString(), 10)
  }

  #read(): { check: number; beats: Beat[] } {
    const bytes = new Uint8Array(BOARD_SIZE)
    readSync(this.#board, bytes, 0, BOARD_SIZE, 0)
    const view = new DataView(bytes.buffer)
    const beats = Array.from({ length: BEATS }, (_, index) => {
      const at = BOARD_BEATS + index * BEAT_SIZE
      const word = (offset: number): bigint => view.getBigUint64(at + offset, true)
      return { count: word(0), gap_ns: word(8), round: word(16) }
    })
    return { check: view.getUint32(BOARD_CHECK, true), beats: beats.filter(({ count }) => count > 0n) }
  }

  #write(offset: number, value: number): void {
    writeSync(this.#board, Uint32Array.of(value), 0, 4, offset)
  }

  /** Lets the beats forget the gaps that they saw. */
  async newRound(): Promise<void> {
    this.#write(BOARD_ROUND, ++this.#round)
    await until('the load does not beat', () => {
      const { beats } = this.#read()
      return beats.length > 0 && beats.every(({ round }) => round === BigInt(this.#round))
    })
  }

  /** The longest time in ms, in this round, in which a beat of the load did not run. */
  longestGap(): number {
    return Math.max(...this.#read().beats.map(({ gap_ns }) => Number(gap_ns) / 1e6))
  }

  /** Throws unless the load beats, has all its tasks and finds its state as it made it. */
  async check(): Promise<void> {
    this.#write(BOARD_CHECK, 1)
    await until('the load does not run', () => this.#read().check > 1)
    if (this.#read().check !== 2) throw new Error('the load found its memory changed')
    await this.newRound()
    const tasks = this.members().reduce((sum, pid) => sum + readdirSync(`/proc/${pid}/task`).length, 0)
    if (tasks !== this.#kind.tasks) throw new Error(`the load has ${tasks} tasks, not ${this.#kind.tasks}`)
  }

  /** The pids of the tree: all that is in the session. */
  members(): number[] {
    return (this.#pids = readdirSync('/proc')
      .map(Number)
      .filter(pid => pid > 0 && sessionOf(pid) === this.pid))
  }

  /** Waits until no pid of the tree is left; a restore needs them. */
  async gone(): Promise<void> {
    await until('the dumped tree is still there', () => this.#pids.every(isReaped))
  }

  /** Kills what is left of the tree, reaps it and closes the board. */
  async end(): Promise<void> {
    try {
      for (const pid of this.members()) sys('kill', pid, 9)
      await this.gone()
    } finally {
      closeSync(this.#board)
    }
  }
}

function sessionOf(pid: number): number | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    // Behind the name, which may hold anything: state, ppid, pgrp, session.
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[3])
  } catch {
    return undefined
  }
}

/** Reaps `pid` if it is a child of ours that has ended. Asked for by number: a wait for any would take the runtime's own. */
function isReaped(pid: number): boolean {
  sys('wait4', pid, 0, WNOHANG | WALL, 0)
  return sys('kill', pid, 0) < 0
}

async function until(otherwise: string, holds: () => boolean): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS
  while (!holds()) {
    if (performance.now() > deadline) throw new Error(otherwise)
    await sleep(5)
  }
}
