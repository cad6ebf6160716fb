// Tables of calls: laid out in a mirror of ours, written into the scratch mapping of a stopped task, run there in one
// stop, and read back. How the code that runs them can be lost in the middle: remote.ts.
import { BardoError } from '../base/errors.ts'
import { SIG_SETMASK } from '../linux/constants.ts'
import { ENTRY_LAST, ENTRY_MAY_FAIL, ENTRY_RET, ENTRY_SIZE, REG, TAIL_SIZE, TAIL_UNDO } from '../linux/arch/x86-64.ts'
import { Arena, type Word } from '../linux/ffi.ts'
import { NR, type CallName } from '../linux/nr.ts'
import { copyBothTo, copyFrom } from './memory.ts'
import { resume, setRegisters } from './ptrace.ts'
import type { Remote } from './remote.ts'
import type { Thread } from './stopped.ts'

/** Where the arguments of an entry are, in it. */
const ENTRY_ARGS = 8
/** For orig_ax: the kernel finds no call to make again. */
export const NO_CALL = BigInt.asUintN(64, -1n)

/** Room for a table whose maker does not say: some dozens of calls. It is cleared and laid out anew each time. */
export const TABLE_SIZE = 8 << 10
const COPIED_IDLY_MAX = 4 << 10
const ARENA_SIZE = 1 << 20
/** @internal Memory of ours for what is copied to tasks and from them. */
export const mirrors = new Arena(ARENA_SIZE)

/**
 * A table of calls and the memory they use, laid out in a mirror of ours, written, run and read back in one go each.
 * The tail block comes first, then the entries; data is taken from the end downwards.
 */
export class Table {
  readonly #remote: Remote
  readonly #thread: Thread
  readonly #start: number
  readonly #end: number
  readonly #mirror: Uint8Array
  readonly #view: DataView
  readonly #mirrorAt: number
  readonly #mark: number
  #count = 0
  #top: number
  /** Where the undo entries begin, while there is nothing else. */
  #data = 0
  #failing: CallName[] = []

  constructor(remote: Remote, thread: Thread, start: number, end: number) {
    this.#remote = remote
    this.#thread = thread
    this.#start = start
    this.#end = end
    this.#top = end
    this.#mark = mirrors.mark()
    this.#mirrorAt = mirrors.take(end - start)
    this.#mirror = mirrors.at(this.#mirrorAt, end - start)
    this.#view = new DataView(this.#mirror.buffer, this.#mirror.byteOffset, this.#mirror.length)
    remote.writeTail(this.#view, 0, thread)
    // The undo's last act: whoever loses us gets the signal mask back before its registers.
    const mask = this.words([thread.sigmask])
    this.#data = this.#top
    this.#undo(NR.rt_sigprocmask, ENTRY_LAST | ENTRY_MAY_FAIL, [SIG_SETMASK, mask, 0, 8])
  }

  // Undo entries lie in the data, the last one first made: a new one goes in front of those there are.
  #undo(nr: number, flags: number, args: readonly Word[]): number {
    if (this.#count > 0 || this.#data !== this.#top) throw new BardoError('bug', 'undo calls come before all others')
    const at = this.take(ENTRY_SIZE)
    this.#writeEntry(at - this.#start, nr, flags, args, 0)
    this.#view.setBigUint64(TAIL_UNDO, BigInt(at), true)
    this.#data = this.#top
    return at + ENTRY_ARGS
  }

  /**
   * A call that the task makes, before its mask and registers are put back, when it has lost us. Said before any call.
   * The address of its first argument, to which a later call may bring what it has got.
   */
  undo(name: CallName, args: readonly Word[]): number {
    return this.#undo(NR[name], ENTRY_MAY_FAIL, args)
  }

  /** Adds a copy of words of 32 bits within the task's memory, done there: one address and another of each. */
  copyWords(pairs: readonly (readonly [from: number, to: number])[]): void {
    const iov = (at: number): bigint[] => [BigInt(at), 4n]
    const from = this.words(pairs.flatMap(pair => iov(pair[0])))
    const to = this.words(pairs.flatMap(pair => iov(pair[1])))
    this.call('process_vm_writev', [this.#remote.ownPid, from, pairs.length, to, pairs.length, 0])
  }

  get #firstEntry(): number {
    return TAIL_SIZE
  }

  /** Takes `size` zeroed bytes of the task's memory, aligned to 8; their address there. */
  take(size: number): number {
    this.#top = Math.floor((this.#top - size) / 8) * 8
    if (this.#top - this.#start < this.#firstEntry + this.#count * ENTRY_SIZE)
      throw new BardoError('bug', `a table of calls needs more than ${this.#end - this.#start} bytes`)
    return this.#top
  }

  /** Puts `data` into the task's memory; its address there. */
  put(data: Uint8Array): number {
    const at = this.take(data.length)
    this.#mirror.set(data, at - this.#start)
    return at
  }

  words(values: readonly Word[]): number {
    const at = this.take(values.length * 8)
    for (let index = 0; index < values.length; index++) this.#word(at - this.#start + 8 * index, values[index]!)
    return at
  }

  // Numbers go in as two halves: a bigint for each would cost more than the call.
  #word(at: number, value: Word): void {
    if (typeof value === 'bigint') {
      this.#view.setBigUint64(at, BigInt.asUintN(64, value), true)
      return
    }
    this.#view.setUint32(at, value, true)
    this.#view.setInt32(at + 4, Math.floor(value / 0x1_0000_0000), true)
  }

  #writeEntry(at: number, nr: number, flags: number, args: readonly Word[], dst: number): void {
    this.#view.setUint32(at, nr, true)
    this.#view.setUint32(at + 4, flags, true)
    for (let index = 0; index < 6; index++) this.#word(at + 8 + 8 * index, args[index] ?? 0)
    this.#word(at + 56, dst)
  }

  /** Adds a call; its index. With `mayFail` the table goes on behind an error. */
  call(name: CallName, args: readonly Word[], options: { mayFail?: boolean; dst?: number } = {}): number {
    const at = this.#firstEntry + this.#count * ENTRY_SIZE
    if (this.#start + at + ENTRY_SIZE > this.#top)
      throw new BardoError('bug', `a table of calls needs more than ${this.#end - this.#start} bytes`)
    this.#writeEntry(at, NR[name], options.mayFail === true ? ENTRY_MAY_FAIL : 0, args, options.dst ?? 0)
    this.#failing.push(name)
    return this.#count++
  }

  get isEmpty(): boolean {
    return this.#count === 0
  }

  /** Points the thread at the table and lets it run; `finish` waits for it. */
  start(): void {
    const last = this.#firstEntry + (this.#count - 1) * ENTRY_SIZE + 4
    this.#view.setUint32(last, this.#view.getUint32(last, true) | ENTRY_LAST, true)
    const { tid } = this.#thread
    // The thread may still stand at the end of an earlier table of this place. If it loses us now it follows the tail
    // that it finds: so what a tail leads to is there before it. Undo entries that both have are the same, at the top.
    const high = this.#top - this.#start
    const low = this.#firstEntry + this.#count * ENTRY_SIZE
    copyBothTo(
      this.#remote.pid,
      { address: this.#top, length: this.#mirror.length - high, source: this.#mirrorAt + high },
      { address: this.#start, length: low, source: this.#mirrorAt },
    )
    const regs = this.#thread.registers.slice()
    regs[REG.ip] = BigInt(this.#remote.entry)
    regs[REG.bx] = BigInt(this.#start + this.#firstEntry)
    regs[REG.r12] = BigInt(this.#start)
    regs[REG.orig_ax] = NO_CALL
    this.#thread.borrowed = true
    setRegisters(tid, regs)
    // The mask only now: a task that is lost from here on sets it again itself.
    this.#thread.openOnly(this.#remote.signal)
    resume(tid)
    this.#remote.started(this.#thread)
  }

  /** Bytes that calls and data can still take. */
  get free(): number {
    return this.#top - this.#start - this.#firstEntry - this.#count * ENTRY_SIZE
  }

  /** Reads calls and data back; not what lies between, unless that is less than a second copy would cost. */
  #readBack(): void {
    const { pid } = this.#remote
    const low = this.#firstEntry + this.#count * ENTRY_SIZE
    const high = this.#top - this.#start
    if (high - low < COPIED_IDLY_MAX) return copyFrom(pid, this.#start, this.#mirror.length, this.#mirrorAt)
    copyFrom(pid, this.#start, low, this.#mirrorAt)
    if (high < this.#mirror.length) copyFrom(pid, this.#top, this.#mirror.length - high, this.#mirrorAt + high)
  }

  /** Waits for the end, and reads results and data back. Throws `refused` for a call that failed and may not. */
  finish(): void {
    this.#remote.finished(this.#thread)
    this.#readBack()
    this.#throwIfRefused()
  }

  #throwIfRefused(): void {
    for (let index = 0; index < this.#count; index++) {
      const at = this.#firstEntry + index * ENTRY_SIZE
      const result = this.result(index)
      if (result < 0 && result >= -4095 && (this.#view.getUint32(at + 4, true) & ENTRY_MAY_FAIL) === 0) {
        const args = [0, 1, 2, 3, 4, 5].map(arg => `0x${this.#view.getBigUint64(at + 8 + 8 * arg, true).toString(16)}`)
        throw new BardoError('refused', `${this.#failing[index]}(${args.join(', ')}) failed in the process`, {
          errno: -result,
          where: `pid ${this.#remote.pid}`,
        })
      }
    }
  }

  run(): this {
    this.start()
    this.finish()
    return this
  }

  /**
   * Runs it where nobody needs an answer but that all is well: then nothing is read back. False when a call has failed;
   * the results are there in that case.
   */
  runUnread(): boolean {
    // Where the loop has stopped tells whether it came to the end: at a call that cannot fail.
    const last = this.call('getpid', [])
    this.start()
    const regs = this.#remote.finished(this.#thread)
    if (Number(regs[REG.bx]!) === this.#start + this.#firstEntry + last * ENTRY_SIZE) return true
    this.#readBack()
    return false
  }

  /** Call `index`'s result, or `-errno`; exact within ±2^53. */
  result(index: number): number {
    return Number(this.#view.getBigInt64(this.#firstEntry + index * ENTRY_SIZE + ENTRY_RET, true))
  }

  /** The task's memory at `address` (from `take`, `put`, `words`) as it was when the table had run: a view. */
  bytes(address: number, length: number): Uint8Array {
    return this.#mirror.subarray(address - this.#start, address - this.#start + length)
  }

  word64(address: number): bigint {
    return this.#view.getBigUint64(address - this.#start, true)
  }

  word32(address: number): number {
    return this.#view.getUint32(address - this.#start, true)
  }

  /** Gives the mirror's memory back; the results are gone with it. Tables end in the reverse order of their making. */
  [Symbol.dispose](): void {
    mirrors.release(this.#mark)
  }
}
