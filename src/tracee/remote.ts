// Calls made inside a stopped task: a scratch mapping in its memory, and tables of calls that run there in one stop.
//
// Whatever we do here must be safe to lose us in the middle: a tracer that is killed leaves its tracees running from
// wherever their registers point. So each piece of code that a task is pointed at ends, untraced, in loading the task's
// own registers and signal mask again (linux/arch/x86-64.ts; test/conformance/killed.test.ts).
// It is long: the scratch mapping and the tables in it are laid out together.
import { BardoError } from '../base/errors.ts'
import { log } from '../base/log.ts'
import {
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  PAGE_SIZE,
  PROT_EXEC,
  PROT_READ,
  PROT_WRITE,
  PTRACE_EVENT_STOP,
  SIGCHLD,
  SIGCONT,
  SIGSEGV,
  SIGSTOP,
  SIGURG,
  SIGWINCH,
  SIG_SETMASK,
} from '../linux/constants.ts'
import {
  BOOT_SIZE,
  BOOT_STOPPED,
  ENTRY_LAST,
  ENTRY_MAY_FAIL,
  ENTRY_RET,
  ENTRY_SIZE,
  REG,
  TABLE_LOOP,
  TABLE_LOOP_STOPPED,
  TAIL_SIZE,
  TAIL_UNDO,
  bootCode,
  writeTail,
  type Registers,
} from '../linux/arch/x86-64.ts'
import { Arena, type Word } from '../linux/ffi.ts'
import { NR, type CallName } from '../linux/nr.ts'
import { copyFrom, copyTo, pokeMemory } from './memory.ts'
import { resume, setRegisters, setSigmask, waitFor } from './ptrace.ts'
import type { Thread } from './stopped.ts'
import { undo } from './undo.ts'

const CODE_SIZE = 256
/** Where the arguments of an entry are, in it. */
const ENTRY_ARGS = 8
const ALL_SIGNALS = 0xffff_ffff_ffff_ffffn
const NO_CALL = BigInt.asUintN(64, -1n)
const ignoredByDefault = [SIGURG, SIGWINCH, SIGCHLD, SIGCONT]

/** What the core knows of a process and the kernel does not tell us here. */
export type RemoteFacts = {
  /** The process's and threads' ids as the process itself sees them (NSpid), by our tid. */
  readonly ownPid: number
  readonly ownTid: (tid: number) => number
  /** SigIgn and SigCgt of /proc/PID/status. */
  readonly ignored: bigint
  readonly caught: bigint
  /** Where BOOT_SIZE bytes of an executable mapping are never run: see `findBootPlace`. */
  readonly boot: number
}

const has = (mask: bigint, signal: number): boolean => (mask & (1n << BigInt(signal - 1))) !== 0n

/**
 * A signal that stops the task while we trace it, and does nothing to it when we are gone: one that it ignores.
 * (A traced task's ignored signals are reported to the tracer: kernel/signal.c, sig_ignored.)
 */
function harmlessSignal(ignored: bigint, caught: bigint, blocked: bigint): number {
  const free = ignoredByDefault.filter(signal => !has(caught, signal))
  // One that is blocked would stay pending if we were lost just before we unblock it.
  const byDefault = free.find(signal => !has(blocked, signal)) ?? free[0]
  if (byDefault !== undefined) return byDefault
  for (let signal = 1; signal <= 64; signal++) if (has(ignored, signal)) return signal
  throw new BardoError('unsupported', 'the process handles every signal that could be used to stop it harmlessly', {
    hint: 'let it use the default action for SIGURG or SIGWINCH',
  })
}

/** Room for a table whose maker does not say: some dozens of calls. It is cleared and laid out anew each time. */
export const TABLE_SIZE = 8 << 10
const COPIED_IDLY_MAX = 4 << 10
/** Asked twice: without the answer, what the process has just done for us could not be taken back. */
function registersNow(thread: Thread): Registers {
  let regs: Registers | undefined
  undo(`reading the registers of thread ${thread.tid}`, () => void (regs = thread.currentRegisters()))
  return regs ?? thread.currentRegisters()
}

const ARENA_SIZE = 1 << 20
const mirrors = new Arena(ARENA_SIZE)
const loop = mirrors.put(TABLE_LOOP)

/** One call of a table. `dst` is an address in the task to which the result is stored too. */
export type Call = {
  readonly nr: number
  readonly args: readonly Word[]
  readonly dst?: number
  readonly mayFail?: boolean
}

/** A stopped process in which calls can be made. */
export class Remote {
  readonly pid: number
  readonly #facts: RemoteFacts
  readonly #signal: number
  readonly #leader: Thread
  /** Threads that have run tables, and those of them that run now: until they have stopped, they need the scratch memory. */
  readonly #threads = new Set<Thread>()
  readonly #running = new Set<Thread>()
  #scratch = 0
  #size = 0

  constructor(pid: number, leader: Thread, facts: RemoteFacts) {
    this.pid = pid
    this.#leader = leader
    this.#facts = facts
    this.#signal = harmlessSignal(facts.ignored, facts.caught, leader.sigmask)
  }

  /** Maps the scratch memory: `size` bytes for tables and their data. */
  open(size: number): void {
    this.#size = Math.ceil((size + CODE_SIZE) / PAGE_SIZE) * PAGE_SIZE
    const args = [0, this.#size, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0]
    const mapped = (answer: number): void => {
      if (answer < 0)
        throw new BardoError('refused', 'cannot map scratch memory in the process', {
          errno: -answer,
          where: `pid ${this.pid}`,
          why: 'mmap of a page that can be written and run was refused',
          hint:
            answer === -12
              ? 'the process is at its limit of memory or mappings: raise RLIMIT_AS or vm.max_map_count'
              : 'a security policy (MemoryDenyWriteExecute, SELinux execmem) forbids it',
        })
      this.#scratch = answer
      // By these bytes the next run finds it, if we are killed: from here on the process need not unmap it itself.
      copyTo(this.pid, answer, TABLE_LOOP.length, loop)
    }
    try {
      this.#bootCall(NR.mmap, args, this.#size, mapped)
    } catch (error) {
      this.close()
      throw error
    }
  }

  /** Takes over scratch memory that is mapped already, as in a process that was made with it. */
  adopt(address: number, size: number): void {
    this.#scratch = address
    this.#size = size
    copyTo(this.pid, address, TABLE_LOOP.length, loop)
  }

  /** Where tables and data may be put: [start, end) of the task's memory. */
  get start(): number {
    return this.#scratch + CODE_SIZE
  }

  get end(): number {
    return this.#scratch + this.#size
  }

  /**
   * Makes one call with nothing but BOOT_SIZE bytes of place in an executable mapping, which hold zeros before and after.
   * The leader's registers are the program's own before and after. `unmap`: bytes of what the call maps that a process
   * unmaps again if it loses us before `then`, which gets the answer, has returned.
   */
  #bootCall(nr: number, args: readonly Word[], unmap: number, then: (answer: number) => void): void {
    const thread = this.#leader
    const place = this.#facts.boot
    const { sigmask, tid } = thread
    const [pid, ownTid, signal] = [this.#facts.ownPid, this.#facts.ownTid(tid), this.#signal]
    thread.giveBack()
    try {
      pokeMemory(
        this.pid,
        place,
        bootCode({ regs: thread.resumable('again'), sigmask, pid, tid: ownTid, signal, unmap }),
      )
      const regs = thread.registers.slice()
      const order = [REG.di, REG.si, REG.dx, REG.r10, REG.r8, REG.r9]
      args.forEach((value, index) => (regs[order[index]!] = BigInt.asUintN(64, BigInt(value))))
      regs[REG.ax] = BigInt(nr)
      regs[REG.orig_ax] = NO_CALL
      regs[REG.ip] = BigInt(place)
      thread.borrowed = true
      setRegisters(tid, regs)
      setSigmask(tid, ALL_SIGNALS & ~(1n << BigInt(signal - 1)))
      resume(tid)
      this.#running.add(thread)
      this.#awaitStop(thread, place + BOOT_STOPPED)
      then(Number(BigInt.asIntN(64, registersNow(thread)[REG.r8]!)))
    } finally {
      // A thread of which nothing is known may still be in there.
      if (!this.#running.has(thread) && undo(`giving process ${this.pid} its registers`, () => thread.giveBack()))
        undo(`clearing boot code of process ${this.pid}`, () => pokeMemory(this.pid, place, new Uint8Array(BOOT_SIZE)))
    }
  }

  /** A table to be filled and run by `thread`, in [start, end) of the scratch memory. */
  table(thread: Thread, start = this.start, end = Math.min(start + TABLE_SIZE, this.end)): Table {
    return new Table(this, thread, start, end)
  }

  /** The signal whose delivery stops a table at its end. */
  get signal(): number {
    return this.#signal
  }

  /** The process's id as it sees itself. */
  get ownPid(): number {
    return this.#facts.ownPid
  }

  /** @internal what a table needs to point a thread at itself */
  get entry(): number {
    return this.#scratch
  }

  /** @internal */
  writeTail(view: DataView, offset: number, thread: Thread): void {
    writeTail(view, offset, thread.resumable('again'), this.#facts.ownPid, this.#facts.ownTid(thread.tid), this.#signal)
  }

  /** @internal A table of `thread` has been started. */
  started(thread: Thread): void {
    this.#threads.add(thread)
    this.#running.add(thread)
  }

  /** @internal Waits until the table of `thread` has stopped it; `onEvent` hears of its clones. */
  finished(thread: Thread, onEvent?: (event: number) => void): void {
    this.#awaitStop(thread, this.#scratch + TABLE_LOOP_STOPPED, onEvent)
  }

  /** Waits until our own code has stopped `thread` by its signal, at address `at`. */
  #awaitStop(thread: Thread, at: number, onEvent?: (event: number) => void): void {
    for (;;) {
      const stop = waitFor(thread.tid)
      this.#running.delete(thread)
      if (stop.kind !== 'stopped')
        throw new BardoError('lost', `process ${this.pid} died while it was stopped`, { where: `thread ${thread.tid}` })
      if (stop.event !== 0 && stop.event !== PTRACE_EVENT_STOP) {
        onEvent?.(stop.event)
        resume(thread.tid)
        this.#running.add(thread)
        continue
      }
      const distance = Number(registersNow(thread)[REG.ip]!) - at
      if (stop.event === 0 && stop.signal === this.#signal && distance === 0) return
      if (stop.event === 0 && stop.signal === SIGSEGV)
        throw new BardoError('bug', `calls made in a process faulted, ${distance} bytes from their end`, {
          where: `pid ${this.pid}`,
        })
      // Signals that the task ignores, and stops for job control: it takes part in such a stop when we let it go.
      log.debug(
        () => `task ${thread.tid} stopped with signal ${stop.signal}, event ${stop.event} while it works for us`,
      )
      resume(thread.tid, stop.event === 0 && stop.signal === SIGSTOP ? SIGSTOP : 0)
      this.#running.add(thread)
    }
  }

  /** Takes the scratch memory away again, when all threads have left it. Never throws. */
  close(): void {
    if (this.#scratch === 0) return
    for (const thread of Array.from(this.#running))
      undo(`waiting for thread ${thread.tid}`, () => this.finished(thread))
    const left = [...this.#threads].filter(
      thread => !undo(`giving thread ${thread.tid} its registers`, () => thread.giveBack()),
    )
    const gone =
      left.length === 0 &&
      undo(`unmapping scratch memory in ${this.pid}`, () => {
        this.#bootCall(NR.munmap, [this.#scratch, this.#size], 0, answer => {
          if (answer < 0) throw new BardoError('refused', 'munmap failed in the process', { errno: -answer })
        })
      })
    if (!gone) log.warn('tracee/remote', `scratch memory stayed mapped in process ${this.pid}, if it has not ended`)
    this.#scratch = 0
  }
}

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

  words(values: readonly bigint[]): number {
    const at = this.take(values.length * 8)
    values.forEach((value, index) =>
      this.#view.setBigUint64(at - this.#start + 8 * index, BigInt.asUintN(64, value), true),
    )
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
    copyTo(this.#remote.pid, this.#top, this.#mirror.length - high, this.#mirrorAt + high)
    const low = this.#firstEntry + this.#count * ENTRY_SIZE
    copyTo(this.#remote.pid, this.#start, low, this.#mirrorAt)
    const regs = this.#thread.registers.slice()
    regs[REG.ip] = BigInt(this.#remote.entry)
    regs[REG.bx] = BigInt(this.#start + this.#firstEntry)
    regs[REG.r12] = BigInt(this.#start)
    regs[REG.orig_ax] = NO_CALL
    this.#thread.borrowed = true
    setRegisters(tid, regs)
    // The mask only now: a task that is lost from here on sets it again itself.
    setSigmask(tid, ALL_SIGNALS & ~(1n << BigInt(this.#remote.signal - 1)))
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
  finish(onEvent?: (event: number) => void): void {
    this.#remote.finished(this.#thread, onEvent)
    this.#readBack()
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

  run(onEvent?: (event: number) => void): this {
    this.start()
    this.finish(onEvent)
    return this
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
