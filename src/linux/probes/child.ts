// A child for probes that need one: it runs a table of system calls and ends, and never any JavaScript (a forked runtime
// crashes: docs/decisions/runtime.md). The table lies in shared memory, so that we see the results.
import { loadCode, bytesAt, machineCode } from '../ffi.ts'
import { bytesOf } from '../../base/bytes.ts'
import { BardoError } from '../../base/errors.ts'
import { once } from '../../base/run.ts'
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
const CODE = machineCode(
  '5341544155', // push rbx; push r12; push r13
  '4889fb', // mov rbx, rdi
  'b838000000', // mov eax, 56 (clone)
  '488b3b', // mov rdi, [rbx]
  '31f631d24531d24531c0', // no stack, no tid addresses, no TLS
  '0f05', // syscall
  '4885c07557', // the parent goes to its end
  '4c8b6310', // mov r12, [rbx+16]
  '4c8b6b18', // mov r13, [rbx+24]
  '4d39ec7341', // next: past the last entry: done
  '498b0424', // mov rax, [r12]
  '498b7c2408', // mov rdi, [r12+8]
  '498b742410', // mov rsi, [r12+16]
  '498b542418', // mov rdx, [r12+24]
  '4d8b542420', // mov r10, [r12+32]
  '4d8b442428', // mov r8, [r12+40]
  '4d8b4c2430', // mov r9, [r12+48]
  '0f05', // syscall
  '4989442438', // mov [r12+56], rax
  '4885c07813', // refused: done
  '498b4c2440', // mov rcx, [r12+64]
  '4885c97403488901', // where the result is wanted again: mov [rcx], rax
  '4983c448ebba', // add r12, 72; to next
  '31ffb8e70000000f05', // done: exit_group(0)
  '48894308', // parent: mov [rbx+8], rax
  '415d415c5bc3', // pop r13; pop r12; pop rbx; ret
)

const entry = once(() => loadCode(CODE))

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
    const first = this.#memory + TABLE_AT
    this.#view.setBigUint64(16, BigInt(first), true)
    this.#view.setBigUint64(24, BigInt(first + this.#calls * ENTRY_SIZE), true)
    entry()(this.#memory)
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
