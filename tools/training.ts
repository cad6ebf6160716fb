// What the process whose memory an executable starts from does before: it dumps and restores, until what runs often has been compiled
// (src/cli/freeze.ts). What it works on are processes of programs that every machine has.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  AT_FDCWD,
  CLONE_FILES,
  CLONE_FS,
  CLONE_SIGHAND,
  CLONE_SYSVSEM,
  CLONE_THREAD,
  CLONE_VM,
  ESRCH,
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  O_CLOEXEC,
  PROT_READ,
  PROT_WRITE,
  SIGKILL,
  SIGSTOP,
} from '../src/linux/constants.ts'
import { MAP_LOWEST } from '../src/linux/arch/x86-64.ts'
import { NR } from '../src/linux/nr.ts'
import { must, OpenFile, sys } from '../src/linux/sys.ts'
import { resume, trySeize, waitFor } from '../src/tracee/ptrace.ts'
import { executable } from '../src/program/spawn.ts'
import { PAGE } from './elf.ts'
import { freeze, STACK_BYTES, type Frozen } from './freeze.ts'
import { Code, systemCall, word32 } from './machine-code.ts'

/** More bring nothing: what runs often is compiled by then (thresholds in tools/runtime-options.ts), and the heap grows. */
const ROUNDS = 8
const ROUNDS_AFTER = 2
const PATIENCE_ms = 10_000
/** Descriptors that are taken when it starts, so that the runtime's own have numbers that are free wherever it is thawed. */
const FIRST_OF_RUNTIME = 200

/** Personality ADDR_NO_RANDOMIZE and ADDR_COMPAT_LAYOUT: its mappings are where no process has any, unless asked for. */
const FIXED = ['setarch', 'x86_64', '--addr-no-randomize', '--addr-compat-layout']

class Candidate {
  readonly #process: Bun.Subprocess<'pipe', 'pipe', 'inherit'>
  readonly #lines: AsyncIterator<string>

  constructor(executable: string, environment: Readonly<Record<string, string>>) {
    using nothing = new OpenFile(must('openat', AT_FDCWD, '/dev/null', O_CLOEXEC))
    const taken = Array.from({ length: FIRST_OF_RUNTIME - 3 }, () => nothing.fd)
    this.#process = Bun.spawn(
      ['sh', '-c', `ulimit -S -s ${STACK_BYTES / 1024} && exec "$@"`, 'sh', ...FIXED, executable, '--freeze'],
      { stdio: ['pipe', 'pipe', 'inherit', ...taken], env: { ...environment }, cwd: '/' },
    )
    this.#lines = lines(this.#process.stdout)
  }

  /** Has it run one command line; its exit status. Without words, it only reaps what has ended. */
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
      if (stop.signal === SIGSTOP) return freeze(pid)
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

/** What passes through a process may stay in its memory: nothing of the builder's environment is to be in an executable. */
const PLAIN = { PATH: '/usr/bin:/bin' }

const THREADS = 40
const SPARSE_BYTES = 4 << 20
const CLONE_FLAGS = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM

/** A program of threads that wait, and memory of which every second page is touched. */
function threadsProgram(): Uint8Array {
  const code = new Code(0)
    .put(0x31, 0xff) // xor edi, edi
    .put(0xbe, word32(SPARSE_BYTES)) // mov esi, SPARSE_BYTES
    .put(0xba, word32(PROT_READ | PROT_WRITE)) // mov edx, prot
    .put(0x41, 0xba, word32(MAP_PRIVATE | MAP_ANONYMOUS)) // mov r10d, flags
    .put(0x4d, 0x31, 0xc0, 0x4d, 0x31, 0xc9) // xor r8, r8; xor r9, r9
    .put(systemCall(NR.mmap))
    .put(0xbb, word32(SPARSE_BYTES / (2 * PAGE))) // mov ebx, pages
    .label('touch')
    .put(0xc6, 0x00, 0x01) // mov byte [rax], 1
    .put(0x48, 0x05, word32(2 * PAGE)) // add rax, 2 * PAGE
    .put(0xff, 0xcb) // dec ebx
    .jump([0x0f, 0x85], 'touch') // jnz touch
    .put(0xbb, word32(THREADS)) // mov ebx, THREADS
    .label('clone')
    .put(0xbf, word32(CLONE_FLAGS)) // mov edi, flags
    .put(0x31, 0xf6, 0x31, 0xd2, 0x4d, 0x31, 0xd2) // no stack of its own, no ids: it only waits
    .put(systemCall(NR.clone))
    .put(0x85, 0xc0) // test eax, eax
    .jump([0x0f, 0x84], 'wait') // jz wait
    .put(0xff, 0xcb) // dec ebx
    .jump([0x0f, 0x85], 'clone') // jnz clone
    .label('wait')
    .put(systemCall(NR.pause))
    .jump([0xe9], 'wait') // jmp wait
  return executable(MAP_LOWEST, code.finish(), false)
}

const IDLE = ['sleep', '1000']

/** What it works on: an idle process; a tree with pipes; a process of many threads and many runs of pages. */
const loads = (threads: string): readonly (readonly string[])[] => [
  IDLE,
  ['sh', '-c', 'for i in 1 2 3 4 5 6; do sleep 1000 | sleep 1000 & done; wait'],
  [threads],
]

/** Has it dump and restore a process of `command`, `rounds` times. */
async function dumpAndRestore(candidate: Candidate, command: readonly string[], rounds: number): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'bardo-training-'))
  const { pid } = Bun.spawn(['setsid', ...command], { stdio: ['ignore', 'ignore', 'ignore'], env: PLAIN, cwd: '/' })
  const must = async (...words: string[]): Promise<void> => {
    const status = await candidate.run(...words, '-D', directory, '-o', 'log')
    if (status !== 0) throw new Error(`${words[0]} failed with status ${status}`)
  }
  const untilGone = async (): Promise<void> => {
    for (const end = performance.now() + PATIENCE_ms; sys('kill', -pid, 0) !== -ESRCH;) {
      if (performance.now() > end) throw new Error(`process group ${pid} does not end`)
      await candidate.run()
      await Bun.sleep(2)
    }
  }
  try {
    while (readFileSync(`/proc/${pid}/comm`, 'latin1') === 'setsid\n' || sys('getsid', pid) !== pid) await Bun.sleep(1)
    for (let round = 0; round < rounds; round++) {
      await must('dump', '-R', '-t', String(pid))
      await must('dump', '-t', String(pid))
      await untilGone()
      await must('restore', '-d')
    }
  } finally {
    sys('kill', -pid, SIGKILL)
    await untilGone()
    rmSync(directory, { recursive: true, force: true })
  }
}

/**
 * Starts `executable` with `environment` alone, trains it, and takes its memory.
 * Throws where that cannot be done: without the right to dump and restore, or where personalities may not be set.
 */
export async function trained(executable: string, environment: Readonly<Record<string, string>>): Promise<Frozen> {
  await using candidate = new Candidate(executable, environment)
  const directory = mkdtempSync(join(tmpdir(), 'bardo-training-'))
  const threads = join(directory, 'threads')
  writeFileSync(threads, threadsProgram(), { mode: 0o700 })
  using _ = { [Symbol.dispose]: () => rmSync(directory, { recursive: true, force: true }) }
  for (const load of loads(threads))
    for (let round = 0; round < ROUNDS; round++) {
      await dumpAndRestore(candidate, load, 1)
      // Not at the end: what is made first after a collection goes over the whole heap in search of room.
      await candidate.run('--collect')
    }
  // Little, since what has been made since the last collection counts towards the next one, which is to come late.
  await dumpAndRestore(candidate, IDLE, ROUNDS_AFTER)
  return await candidate.freeze()
}
