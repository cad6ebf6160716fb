// Calls made inside a stopped task: a scratch mapping in its memory, and tables of calls that run there in one stop.
//
// Whatever we do here must be safe to lose us in the middle: a tracer that is killed leaves its tracees running from
// wherever their registers point. So each piece of code that a task is pointed at ends, untraced, in loading the task's
// own registers and signal mask again (linux/arch/x86-64.ts; test/conformance/killed.test.ts).
import { BardoError } from '../base/errors.ts'
import { log } from '../base/log.ts'
import {
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  PAGE_SIZE,
  PROT_EXEC,
  PROT_READ,
  PROT_WRITE,
  SIGCHLD,
  SIGCONT,
  SIGSEGV,
  SIGSTOP,
  SIGURG,
  SIGWINCH,
} from '../linux/constants.ts'
import {
  BOOT_SIZE,
  BOOT_STOPPED,
  REG,
  TABLE_LOOP,
  TABLE_LOOP_STOPPED,
  bootCode,
  writeTail,
  type Registers,
} from '../linux/arch/x86-64.ts'
import type { Word } from '../linux/ffi.ts'
import { NR } from '../linux/nr.ts'
import { copyTo, pokeMemory } from './memory.ts'
import { resume, setRegisters, waitFor } from './ptrace.ts'
import type { Thread } from './stopped.ts'
import { NO_CALL, TABLE_SIZE, Table, mirrors } from './table.ts'
import { undo } from './undo.ts'

const CODE_SIZE = 256
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

/** Asked twice: without the answer, what the process has just done for us could not be taken back. */
function registersNow(thread: Thread): Registers {
  let regs: Registers | undefined
  undo(`reading the registers of thread ${thread.tid}`, () => void (regs = thread.currentRegisters()))
  return regs ?? thread.currentRegisters()
}

const loop = mirrors.put(TABLE_LOOP)

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

  /** Takes over scratch memory that is mapped already; `hasCode`: with the code in it, as a child has it by birth. */
  adopt(address: number, size: number, hasCode: boolean): void {
    this.#scratch = address
    this.#size = size
    if (!hasCode) copyTo(this.pid, address, TABLE_LOOP.length, loop)
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
      thread.openOnly(signal)
      resume(tid)
      this.#running.add(thread)
      const stopped = this.#awaitStop(thread, place + BOOT_STOPPED)
      then(Number(BigInt.asIntN(64, stopped[REG.r8]!)))
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

  /** @internal Waits until the table of `thread` has stopped it; its registers then. */
  finished(thread: Thread): Registers {
    return this.#awaitStop(thread, this.#scratch + TABLE_LOOP_STOPPED)
  }

  /** Waits until our own code has stopped `thread` by its signal, at address `at`; its registers then. */
  #awaitStop(thread: Thread, at: number): Registers {
    for (;;) {
      const stop = waitFor(thread.tid)
      this.#running.delete(thread)
      if (stop.kind !== 'stopped')
        throw new BardoError('lost', `process ${this.pid} died while it was stopped`, { where: `thread ${thread.tid}` })
      const regs = registersNow(thread)
      const distance = Number(regs[REG.ip]!) - at
      if (stop.event === 0 && stop.signal === this.#signal && distance === 0) return regs
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
