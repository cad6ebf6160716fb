// A child for probes that need one: it runs a table of system calls and ends, and never any JavaScript (a forked runtime
// crashes: docs/decisions/runtime.md). The table lies in shared memory, so that we see the results.
import { loadCode, bytesAt } from '../ffi.ts'
import { bytesOf } from '../../base/bytes.ts'
import { BardoError } from '../../base/errors.ts'
import { EINTR } from '../constants.ts'
import { NR, type CallName } from '../nr.ts'
import { must, scratch, sys } from '../sys.ts'

const SIZE = 64 << 10
const [PROT_READ_WRITE, MAP_SHARED_ANONYMOUS] = [3, 0x21]
const SIGKILL = 9
const SIGCHLD = 17
const PR_SET_PDEATHSIG = 1
const ENTRY_SIZE = 72
const TABLE_AT = 32
const DATA_AT = 8 << 10
const RESULT_AT = 56
const DST_AT = 64

/** Where the table ends and the child leaves, from the start of the code; and where a call returns to. */
export const DONE_AT = 0x6f
export const AFTER_CALL_AT = 0x52

// rdi -> { flags of clone, its result, first entry, end of entries }. An entry: nr, six arguments, result, dst (0: none).
const CODE = Uint8Array.of(
  0x53,
  0x41,
  0x54,
  0x41,
  0x55, // push rbx; push r12; push r13
  0x48,
  0x89,
  0xfb, // mov rbx, rdi
  0xb8,
  0x38,
  0,
  0,
  0, // mov eax, 56 (clone)
  0x48,
  0x8b,
  0x3b, // mov rdi, [rbx]
  0x31,
  0xf6,
  0x31,
  0xd2,
  0x45,
  0x31,
  0xd2,
  0x45,
  0x31,
  0xc0, // no stack, no tid addresses, no TLS
  0x0f,
  0x05, // syscall
  0x48,
  0x85,
  0xc0,
  0x75,
  0x57, // the parent goes to its end
  0x4c,
  0x8b,
  0x63,
  0x10, // mov r12, [rbx+16]
  0x4c,
  0x8b,
  0x6b,
  0x18, // mov r13, [rbx+24]
  0x4d,
  0x39,
  0xec,
  0x73,
  0x41, // next: past the last entry: done
  0x49,
  0x8b,
  0x04,
  0x24, // mov rax, [r12]
  0x49,
  0x8b,
  0x7c,
  0x24,
  0x08, // mov rdi, [r12+8]
  0x49,
  0x8b,
  0x74,
  0x24,
  0x10, // mov rsi, [r12+16]
  0x49,
  0x8b,
  0x54,
  0x24,
  0x18, // mov rdx, [r12+24]
  0x4d,
  0x8b,
  0x54,
  0x24,
  0x20, // mov r10, [r12+32]
  0x4d,
  0x8b,
  0x44,
  0x24,
  0x28, // mov r8, [r12+40]
  0x4d,
  0x8b,
  0x4c,
  0x24,
  0x30, // mov r9, [r12+48]
  0x0f,
  0x05, // syscall
  0x49,
  0x89,
  0x44,
  0x24,
  0x38, // mov [r12+56], rax
  0x48,
  0x85,
  0xc0,
  0x78,
  0x13, // refused: done
  0x49,
  0x8b,
  0x4c,
  0x24,
  0x40, // mov rcx, [r12+64]
  0x48,
  0x85,
  0xc9,
  0x74,
  0x03,
  0x48,
  0x89,
  0x01, // where the result is wanted again: mov [rcx], rax
  0x49,
  0x83,
  0xc4,
  0x48,
  0xeb,
  0xba, // add r12, 72; to next
  0x31,
  0xff,
  0xb8,
  0xe7,
  0,
  0,
  0,
  0x0f,
  0x05, // done: exit_group(0)
  0x48,
  0x89,
  0x43,
  0x08, // parent: mov [rbx+8], rax
  0x41,
  0x5d,
  0x41,
  0x5c,
  0x5b,
  0xc3, // pop r13; pop r12; pop rbx; ret
)

let entry: ((address: number) => void) | undefined

/** The result of an earlier call, as an argument of a later one. */
export type Result = { readonly of: number }

type Value = number | bigint | string | Result

/** A table of calls, written call by call, and the child that runs it. `using` it ends the child. */
export class Child {
  readonly #memory = must('mmap', 0, SIZE, PROT_READ_WRITE, MAP_SHARED_ANONYMOUS, -1, 0)
  readonly #bytes = bytesAt(this.#memory, SIZE)
  readonly #view = new DataView(this.#bytes.buffer, this.#bytes.byteOffset, SIZE)
  #calls = 0
  #data = DATA_AT
  #pid = 0

  /** @param flags of clone(2), such as CLONE_NEWUSER. */
  constructor(flags = 0) {
    this.#view.setBigUint64(0, BigInt(flags | SIGCHLD), true)
    // Whatever happens to us, nothing stays.
    this.call('prctl', PR_SET_PDEATHSIG, SIGKILL)
  }

  /** Shared memory of `size` bytes for answers, zeroed; its address. */
  take(size: number): number {
    const at = this.#data
    this.#data += (size + 15) & ~15
    if (this.#data > SIZE) throw new BardoError('bug', 'the table of a probe is full')
    return this.#memory + at
  }

  bytes(address: number, length: number): Uint8Array {
    return this.#bytes.slice(address - this.#memory, address - this.#memory + length)
  }

  put(data: Uint8Array): number {
    const at = this.take(data.length)
    this.#bytes.set(data, at - this.#memory)
    return at
  }

  /** Adds a call; the first that is refused ends the child. */
  call(name: CallName, ...args: Value[]): Result {
    const at = TABLE_AT + this.#calls * ENTRY_SIZE
    if (at + ENTRY_SIZE > DATA_AT) throw new BardoError('bug', 'the table of a probe is full')
    this.#view.setBigUint64(at, BigInt(NR[name]), true)
    for (const [index, arg] of args.entries()) {
      const slot = at + 8 + 8 * index
      if (typeof arg === 'object') this.store(arg, this.#memory + slot)
      else if (typeof arg === 'string') this.#view.setBigUint64(slot, BigInt(this.put(bytesOf(`${arg}\0`))), true)
      else this.#view.setBigInt64(slot, BigInt.asIntN(64, BigInt(arg)), true)
    }
    return { of: this.#calls++ }
  }

  /** Has the 64-bit result of an earlier call written to `address`, too. A result is kept at one place only. */
  store({ of }: Result, address: number): void {
    const at = TABLE_AT + of * ENTRY_SIZE + DST_AT
    if (this.#view.getBigUint64(at, true) !== 0n) throw new BardoError('bug', 'a result of a probe is wanted twice')
    this.#view.setBigUint64(at, BigInt(address), true)
  }

  /** What the kernel answered; 0 for a call that was not reached. */
  result({ of }: Result): number {
    return Number(this.#view.getBigInt64(TABLE_AT + of * ENTRY_SIZE + RESULT_AT, true))
  }

  /** Starts the child; its pid, or `-errno`. */
  start(): number {
    entry ??= loadCode(CODE)
    const first = this.#memory + TABLE_AT
    this.#view.setBigUint64(16, BigInt(first), true)
    this.#view.setBigUint64(24, BigInt(first + this.#calls * ENTRY_SIZE), true)
    entry(this.#memory)
    const pid = Number(this.#view.getBigInt64(8, true))
    this.#pid = Math.max(0, pid)
    return pid
  }

  /** Starts the child and waits for its end; the pid or `-errno`. */
  run(): number {
    const pid = this.start()
    if (pid > 0) this.wait()
    return pid
  }

  /** Waits for a stop or the end; the status of wait(2). */
  wait(): number {
    const mark = scratch.mark()
    try {
      const status = scratch.take(8)
      while (sys('wait4', this.#pid, status, 0, 0) === -EINTR);
      const word = scratch.view.getInt32(status - scratch.address, true)
      const stopped = (word & 0xff) === 0x7f
      if (!stopped) this.#pid = 0
      return word
    } finally {
      scratch.release(mark)
    }
  }

  [Symbol.dispose](): void {
    if (this.#pid > 0) {
      sys('kill', this.#pid, SIGKILL)
      this.wait()
    }
    sys('munmap', this.#memory, SIZE)
  }
}

/** A child that stops itself under our ptrace after `prepare`'s calls; undefined when that does not work. */
export function tracedChild(prepare: (child: Child) => void = () => {}): { child: Child; pid: number } | undefined {
  const child = new Child()
  prepare(child)
  child.call('ptrace', 0)
  const self = child.call('getpid')
  child.call('kill', self, 19)
  const pid = child.start()
  if (pid > 0 && (child.wait() & 0xffff) === 0x137f) return { child, pid }
  child[Symbol.dispose]()
  return undefined
}
