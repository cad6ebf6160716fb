// What the process whose memory an executable starts from does before: it dumps and restores, until what runs often has been compiled
// (src/cli/freeze.ts). What it works on are processes of programs that every machine has.
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ESRCH, SIGKILL, SIGSTOP } from '../src/linux/constants.ts'
import { sys } from '../src/linux/sys.ts'
import { resume, trySeize, waitFor } from '../src/tracee/ptrace.ts'
import { freeze, STACK_BYTES, type Frozen } from './freeze.ts'

/** Functions are compiled from some thousand calls on, the thresholds in tools/runtime-options.ts: later rounds bring nothing. */
const ROUNDS = 12
const PATIENCE_ms = 10_000
/** Descriptors that are taken when it starts, so that the runtime's own have numbers that are free wherever it is thawed. */
const FIRST_OF_RUNTIME = 200

/** Personality ADDR_NO_RANDOMIZE and ADDR_COMPAT_LAYOUT: its mappings are where no process has any, unless asked for. */
const FIXED = ['setarch', 'x86_64', '--addr-no-randomize', '--addr-compat-layout']

class Candidate {
  readonly #process: Bun.Subprocess<'pipe', 'pipe', 'inherit'>
  readonly #lines: AsyncIterator<string>
  readonly #executable: string

  constructor(executable: string, environment: Readonly<Record<string, string>>) {
    this.#executable = executable
    const taken = Array.from({ length: FIRST_OF_RUNTIME - 3 }, () => 'ignore' as const)
    this.#process = Bun.spawn(
      ['sh', '-c', `ulimit -S -s ${STACK_BYTES / 1024} && exec "$@"`, 'sh', ...FIXED, executable, '--freeze'],
      { stdio: ['pipe', 'pipe', 'inherit', ...taken], env: { ...environment }, cwd: '/' },
    )
    this.#lines = lines(this.#process.stdout)
  }

  /** Has it run one command line; its exit status. */
  async run(...words: string[]): Promise<number> {
    void this.#process.stdin.write(`${words.join('\t')}\n`)
    await this.#process.stdin.flush()
    const { value, done } = await this.#lines.next()
    if (done === true) throw new Error('the process to be frozen has ended')
    return parseInt(value, 10)
  }

  /** Ends the training; what its memory is then. */
  async freeze(): Promise<Frozen> {
    const { pid, stdin } = this.#process
    const seized = trySeize(pid, 0)
    if (seized < 0) throw new Error(`cannot trace the process to be frozen: errno ${-seized}`)
    await stdin.end()
    for (;;) {
      const stop = waitFor(pid)
      if (stop.kind !== 'stopped') throw new Error('the process to be frozen has ended')
      if (stop.signal === SIGSTOP) return freeze(pid, this.#executable)
      resume(pid, stop.signal)
    }
  }

  /** Until it has gone its executable cannot be written to. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#process.kill(SIGKILL)
    await this.#process.exited
  }
}

async function* lines(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  let text = ''
  const decoder = new TextDecoder()
  for await (const piece of stream) {
    const all = (text + decoder.decode(piece, { stream: true })).split('\n')
    text = all.pop()!
    yield* all
  }
}

type Load = {
  readonly command: readonly string[]
  /** Options of dump and of restore. */
  readonly options: readonly string[]
}

/** An idle process; a tree with pipes. */
const LOADS: readonly Load[] = [
  { command: ['sleep', '1000'], options: [] },
  { command: ['sh', '-c', 'sleep 1000 | sleep 1000 & sleep 1000 >/dev/null & wait'], options: [] },
]

async function until(is: () => boolean, meanwhile: () => Promise<unknown>): Promise<void> {
  for (const end = performance.now() + PATIENCE_ms; !is();) {
    if (performance.now() > end) throw new Error('a process of the training did not do what it should')
    await meanwhile()
    await Bun.sleep(2)
  }
}

/** Dumps and restores `load` again and again. */
async function train(candidate: Candidate, { command, options }: Load, directory: string): Promise<void> {
  mkdirSync(directory)
  const child = Bun.spawn(['setsid', ...command], {
    stdio: ['ignore', 'ignore', 'ignore'],
    env: { PATH: process.env['PATH'] },
    cwd: '/',
  })
  const { pid } = child
  const common = ['--images-dir', directory, '--log-file', 'log', ...options]
  const must = async (...words: string[]): Promise<void> => {
    const status = await candidate.run(...words, ...common)
    if (status !== 0) throw new Error(`${words[0]} failed in the training`)
  }
  try {
    await Bun.sleep(100)
    for (let round = 0; round < ROUNDS; round++) {
      await must('dump', '--tree', String(pid), '--leave-running')
      await must('dump', '--tree', String(pid))
      await until(
        () => sys('kill', -pid, 0) === -ESRCH,
        () => candidate.run(),
      )
      await must('restore', '--restore-detached')
    }
  } finally {
    sys('kill', -pid, SIGKILL)
    await until(
      () => sys('kill', -pid, 0) === -ESRCH,
      () => candidate.run(),
    )
  }
}

/**
 * Starts `executable` with `environment` alone, trains it, and takes its memory.
 * Throws where that cannot be done: without the right to dump and restore, or where personalities may not be set.
 */
export async function trained(executable: string, environment: Readonly<Record<string, string>>): Promise<Frozen> {
  const directory = mkdtempSync(join(tmpdir(), 'bardo-training-'))
  try {
    await using candidate = new Candidate(executable, environment)
    for (const [index, load] of LOADS.entries()) await train(candidate, load, join(directory, String(index)))
    return await candidate.freeze()
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}
