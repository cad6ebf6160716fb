// A whole process tree, stopped: every thread seized and interrupted, as found, and let go again whatever happens.
// It is long: a thread's stop and the tree's are one story, told from the seizing to the letting go.
import { BardoError } from '../base/errors.ts'
import { interrupted } from '../base/interrupt.ts'
import { log } from '../base/log.ts'
import { now_ms } from '../base/run.ts'
import {
  AT_FDCWD,
  EINTR,
  ENOENT,
  EPERM,
  ERESTARTNOHAND,
  ERESTARTNOINTR,
  ERESTARTSYS,
  ERESTART_RESTARTBLOCK,
  ESRCH,
  PTRACE_EVENT_STOP,
  PTRACE_O_SUSPEND_SECCOMP,
  SIGKILL,
  SIGSTOP,
  SIGTRAP,
} from '../linux/constants.ts'
import { REG, SYSCALL_LENGTH, type Registers } from '../linux/arch/x86-64.ts'
import { syscall } from '../linux/ffi.ts'
import { NR } from '../linux/nr.ts'
import { nap } from '../linux/poll.ts'
import { parseStat } from '../linux/proc/stat.ts'
import { readDirectory, readFile, readOnce } from '../linux/sys.ts'
import { readMemory } from './memory.ts'
import {
  detach,
  getRegisters,
  getSigmask,
  interrupt,
  pendingSignals,
  resume,
  rseqConfiguration,
  setRegisters,
  setSigmask,
  trySeize,
  waitFor,
  type Rseq,
  type Stop,
} from './ptrace.ts'
import { isMadeAgain } from './timed-call.ts'
import { undo } from './undo.ts'

const HERE = 'tracee/stopped'

/** How long a task that is being let go may take to stop: 200 ms. */
const RELEASE_TRIES = 400
const RELEASE_NAP_NS = 500_000

/** How long a task may take to stop when the caller set no timeout: CRIU's default too. */
export const STOP_TIMEOUT_MS = 10_000

const ALL_SIGNALS = 0xffff_ffff_ffff_ffffn

/** A seized thread in its stop, with what it must be given back. */
export class Thread {
  readonly tid: number
  /** The signal of the group-stop that the thread is in, or 0. */
  readonly groupStop: number
  /** The registers with which the thread goes on. */
  registers: Registers
  /** The blocked signals with which the thread goes on. */
  sigmask: bigint
  /** Whether registers or mask in the kernel differ from those above. */
  borrowed = false

  /** The registered rseq area, or undefined. */
  readonly rseq: Rseq | undefined

  /**
   * The signal that is not blocked while the thread works for us, or 0 while the blocked signals are the program's own:
   * its tables need not set them anew each time.
   */
  openSignal = 0

  /** A stopped thread; `maker` is given for one that has just been made, and not run: it has its maker's state. */
  constructor(tid: number, groupStop: number, maker?: Thread) {
    this.tid = tid
    this.groupStop = groupStop
    if (maker !== undefined) {
      this.registers = maker.registers
      this.sigmask = maker.sigmask
      this.borrowed = maker.borrowed
      this.openSignal = maker.openSignal
      return
    }
    this.registers = getRegisters(tid)
    this.sigmask = getSigmask(tid)
    this.rseq = rseqConfiguration(tid)
    this.#makeAgain()
    this.#abortSequence()
  }

  /** The registers as they are in the kernel now, ours or the program's. */
  currentRegisters(): Registers {
    return getRegisters(this.tid)
  }

  /** Reads the registers anew, after the thread was let run and stopped again. */
  refresh(): void {
    this.registers = getRegisters(this.tid)
    this.sigmask = getSigmask(this.tid)
    this.#makeAgain()
    this.#abortSequence()
  }

  // A stop of ours makes these calls answer EINTR, which the program would take for a signal of its own
  // (test/kernel/interrupted-calls.test.ts). With no signal to be delivered, it was us: the call is made again.
  #makeAgain(): void {
    const nr = Number(BigInt.asIntN(64, this.registers[REG.orig_ax]!))
    if (this.registers[REG.ax] !== BigInt.asUintN(64, BigInt(-EINTR)) || !isMadeAgain(nr)) return
    const waiting = [...pendingSignals(this.tid, false), ...pendingSignals(this.tid, true)]
    const deliverable = waiting.some(info => {
      const signal = new DataView(info.buffer, info.byteOffset).getInt32(0, true)
      return (this.sigmask & (1n << BigInt(signal - 1))) === 0n
    })
    if (deliverable) return
    this.registers[REG.ip]! -= SYSCALL_LENGTH
    this.registers[REG.ax] = BigInt(nr)
    this.registers[REG.orig_ax] = BigInt.asUintN(64, -1n)
    setRegisters(this.tid, this.registers)
  }

  // A thread may be stopped inside a restartable sequence. A call that we make in it would let the kernel forget the
  // sequence, and nothing would abort it when its registers come back: so it is aborted here and now, as preemption may
  // do at any instruction (rseq(2); test/kernel/rseq-critical-section.test.ts).
  #abortSequence(): void {
    if (this.rseq === undefined) return
    const abort = abortAddress(this.tid, this.rseq, this.registers[REG.ip]!)
    if (abort === undefined) return
    this.registers[REG.ip] = abort
    setRegisters(this.tid, this.registers)
  }

  /** The error by which the kernel marks the call that the stop cut short (ERESTART…), or 0 when there was none. */
  get restart(): number {
    if (BigInt.asIntN(64, this.registers[REG.orig_ax]!) < 0n) return 0
    const result = Number(BigInt.asIntN(64, this.registers[REG.ax]!))
    const marks = [ERESTARTSYS, ERESTARTNOINTR, ERESTARTNOHAND, ERESTART_RESTARTBLOCK]
    return marks.includes(-result) ? -result : 0
  }

  /**
   * The registers with which the thread can go on where no kernel remembers the call it was in: in our own code after
   * a tracer died, or in a new process. A call cut short is made again; `timed` tells what a call with a restart block
   * gets: made again from its beginning, or EINTR as CRIU's images have it.
   */
  resumable(timed: 'again' | 'eintr'): Registers {
    const regs = this.registers.slice()
    const mark = this.restart
    if (mark === 0) return regs
    if (mark === ERESTART_RESTARTBLOCK && timed === 'eintr') {
      regs[REG.ax] = BigInt.asUintN(64, BigInt(-EINTR))
      return regs
    }
    regs[REG.ax] = regs[REG.orig_ax]!
    regs[REG.ip]! -= SYSCALL_LENGTH
    return regs
  }

  /** Blocks all signals but the one that stops the thread at the end of what it does for us. */
  openOnly(signal: number): void {
    if (this.openSignal === signal) return
    setSigmask(this.tid, ALL_SIGNALS & ~(1n << BigInt(signal - 1)))
    this.openSignal = signal
  }

  /** Gives mask and registers back. Mask first: while the registers are ours, a lost tracer's task restores it itself. */
  giveBack(): void {
    if (!this.borrowed) return
    setSigmask(this.tid, this.sigmask)
    this.openSignal = 0
    setRegisters(this.tid, this.registers)
    this.borrowed = false
  }
}

/** Where the sequence that `ip` is in is aborted to; undefined when it is in none. */
function abortAddress(tid: number, rseq: Rseq, ip: bigint): bigint | undefined {
  const word = (bytes: Uint8Array, at: number): bigint =>
    new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(at, true)
  try {
    // struct rseq: cpu ids, then the pointer to struct rseq_cs: version, flags, start_ip, post_commit_offset, abort_ip.
    const descriptor = word(readMemory(tid, Number(rseq.pointer), 16), 8)
    if (descriptor === 0n) return undefined
    const bytes = readMemory(tid, Number(descriptor), 32)
    const [start, length] = [word(bytes, 8), word(bytes, 16)]
    return ip >= start && ip - start < length ? word(bytes, 24) : undefined
  } catch (error) {
    // Memory that is gone: the kernel would not have found a sequence there either.
    if (error instanceof BardoError && error.code === 'refused') return undefined
    throw error
  }
}

/** A stopped process: its threads, the leader first. */
export class Process {
  readonly pid: number
  readonly parent: Process | undefined
  readonly children: (Process | Zombie)[] = []
  readonly threads: Thread[] = []

  constructor(pid: number, parent: Process | undefined) {
    this.pid = pid
    this.parent = parent
  }

  get leader(): Thread {
    return this.threads[0]!
  }
}

/** A child that has ended and that its parent has not waited for. */
export class Zombie {
  readonly pid: number
  readonly parent: Process

  constructor(pid: number, parent: Process) {
    this.pid = pid
    this.parent = parent
  }
}

function readState(pid: number): string | undefined {
  const stat = readFile(AT_FDCWD, `/proc/${pid}/stat`, [ENOENT, ESRCH])
  return stat === undefined ? undefined : parseStat(stat).state
}

/** What `seize` answers for a task that needs no waiting for. */
type Absent = 'gone' | 'zombie'

export class StoppedTree {
  readonly processes: Process[] = []
  readonly zombies: Zombie[] = []
  readonly #deadline: number
  readonly #seized = new Set<number>()
  /** Whether seccomp filters can be suspended; a task that has one cannot be dumped otherwise. */
  suspendsSeccomp = true
  /** What is done to each process when it is let go, given back included; replaced by who kills or keeps them stopped. */
  #ending: 'run' | 'stop' | 'kill' = 'run'
  #undo: (() => void)[] = []

  constructor(timeout_ms: number) {
    this.#deadline = now_ms() + timeout_ms
  }

  /** Stops the tree under `root`: parents before children, so that no child is born behind us. */
  stop(root: number): void {
    const state = readState(root)
    if (state === undefined)
      throw new BardoError('usage', `no process has pid ${root}`, {
        hint: 'give the pid of the root of the tree: -t PID',
      })
    if (state === 'Z' || state === 'X')
      throw new BardoError('unsupported', `process ${root} has ended already and is a zombie`, {
        hint: 'dump its parent, which has not waited for it',
      })
    this.#stopProcess(root, undefined)
  }

  #stopProcess(pid: number, parent: Process | undefined): void {
    // Depth of a tree is bounded by the kernel only: a stack of our own, not recursion.
    const queue: { pid: number; parent: Process | undefined }[] = [{ pid, parent }]
    for (let next = queue.pop(); next !== undefined; next = queue.pop()) {
      const process = new Process(next.pid, next.parent)
      const absent = this.#stopThreads(process)
      if (absent === 'gone') continue
      if (absent === 'zombie') {
        if (next.parent === undefined)
          throw new BardoError('lost', `process ${next.pid} ended while it was being stopped`)
        const zombie = new Zombie(next.pid, next.parent)
        this.zombies.push(zombie)
        next.parent.children.push(zombie)
        continue
      }
      this.processes.push(process)
      next.parent?.children.push(process)
      for (const child of this.#childrenOf(process).toReversed()) queue.push({ pid: child, parent: process })
    }
  }

  #childrenOf(process: Process): number[] {
    const found: number[] = []
    for (const thread of process.threads) {
      const path = `/proc/${process.pid}/task/${thread.tid}/children`
      const text = readOnce(AT_FDCWD, path)
      if (text === undefined) continue
      for (const word of new TextDecoder().decode(text).split(' ')) if (word !== '') found.push(Number(word))
    }
    return found
  }

  /** Seizes all threads of a process, again and again until none is new: threads not yet stopped may clone others. */
  #stopThreads(process: Process): Absent | undefined {
    const { pid } = process
    for (;;) {
      let tids: number[]
      try {
        tids = readDirectory(AT_FDCWD, `/proc/${pid}/task`).map(Number)
      } catch (error) {
        if (error instanceof BardoError && (error.errno === ENOENT || error.errno === ESRCH)) return 'gone'
        throw error
      }
      const fresh = tids.filter(tid => !this.#seized.has(tid))
      if (fresh.length === 0) break
      const waiting: number[] = []
      for (const tid of fresh) {
        const absent = this.#seize(tid)
        if (absent === undefined) waiting.push(tid)
        else if (tid === pid) {
          if (absent === 'zombie' && tids.length > 1)
            throw new BardoError('unsupported', 'the main thread of a process has ended while other threads go on', {
              where: `pid ${pid}`,
              hint: 'let the main thread wait for the others (pthread_join) instead of calling pthread_exit',
            })
          return absent
        }
      }
      for (const tid of waiting) {
        const thread = this.#waitStopped(tid)
        if (thread !== undefined) process.threads.push(thread)
        else if (tid === pid) return readState(pid) === 'Z' ? 'zombie' : 'gone'
      }
    }
    process.threads.sort((a, b) => (a.tid === pid ? -1 : b.tid === pid ? 1 : a.tid - b.tid))
    return undefined
  }

  #seize(tid: number): Absent | undefined {
    let result = trySeize(tid, this.suspendsSeccomp ? PTRACE_O_SUSPEND_SECCOMP : 0)
    if (result === -EPERM && this.suspendsSeccomp) {
      // Suspending needs CAP_SYS_ADMIN, and that no filter holds us ourselves (kernel/ptrace.c).
      const without = trySeize(tid, 0)
      if (without === 0) this.suspendsSeccomp = false
      result = without
    }
    if (result < 0) {
      const state = readState(tid)
      if (state === undefined) return 'gone'
      if (state === 'Z' || state === 'X') return 'zombie'
      const text = new TextDecoder().decode(
        readFile(AT_FDCWD, `/proc/${tid}/status`, [ENOENT, ESRCH]) ?? new Uint8Array(),
      )
      const tracer = Number(/^TracerPid:\s*(\d+)/m.exec(text)?.[1] ?? 0)
      throw new BardoError('refused', `cannot stop task ${tid}`, {
        errno: -result,
        why: tracer > 0 ? `it is traced by process ${tracer}` : undefined,
        hint: tracer > 0 ? 'let the debugger or strace detach first' : 'run as root, or with CAP_SYS_PTRACE',
      })
    }
    this.#seized.add(tid)
    interrupt(tid)
    return undefined
  }

  /** Waits for the stop that `interrupt` asked for; signals that come before it are delivered, as without us. */
  #waitStopped(tid: number): Thread | undefined {
    for (let naps = 0; ;) {
      const stop = waitFor(tid, true)
      if (stop === undefined) {
        if (now_ms() > this.#deadline) {
          const state = readState(tid) ?? 'X'
          throw new BardoError('refused', `task ${tid} did not stop in time`, {
            why: `it is in state ${state}${state === 'D' ? ': it waits for a disk or a network file system' : ''}`,
            hint: 'try again later, or with a longer --timeout',
          })
        }
        if (interrupted() !== 0) throw new BardoError('refused', 'interrupted', { hint: 'nothing was changed' })
        naps++
        // Most tasks stop within some tens of microseconds: the first looks follow each other quickly.
        if (naps > 8) nap(Math.min(naps * 5_000, 500_000))
        continue
      }
      if (stop.kind !== 'stopped') {
        this.#seized.delete(tid)
        return undefined
      }
      if (stop.event === PTRACE_EVENT_STOP) return new Thread(tid, stop.signal === SIGTRAP ? 0 : stop.signal)
      log.debug(() => `task ${tid} got signal ${stop.signal} before it stopped`)
      resume(tid, stop.event === 0 ? stop.signal : 0)
    }
  }

  /** Registers what must be undone before the tasks are let go, however the operation ends; the last one first. */
  onRelease(undo: () => void): void {
    this.#undo.push(undo)
  }

  /** How the tasks end when they are let go: run on (the default), stay stopped, or are killed. */
  endWith(ending: 'run' | 'stop' | 'kill'): void {
    this.#ending = ending
  }

  get threadCount(): number {
    return this.#seized.size
  }

  [Symbol.dispose](): void {
    if (this.#ending === 'kill') return this.#killAll()
    for (const step of this.#undo.toReversed()) undo('taking back what was lent', step)
    for (const process of this.processes)
      for (const thread of process.threads) undo(`giving thread ${thread.tid} its registers`, () => thread.giveBack())
    if (this.#ending === 'stop') for (const process of this.processes) syscall(NR.kill, process.pid, SIGSTOP)
    for (const tid of this.#seized) this.#release(tid)
  }

  // Killed tasks need nothing back.
  #killAll(): void {
    // SIGKILL ends a traced task without further ado. Children first would let parents see them die.
    for (const process of this.processes) syscall(NR.kill, process.pid, SIGKILL)
    // A leader's end is told when all its threads have been waited for: so it comes last.
    for (const process of this.processes)
      for (const thread of process.threads.toReversed())
        undo(`waiting for the end of ${thread.tid}`, () => this.#reap(thread.tid))
  }

  // A tracer sees its tracee's end first; the real parent only once we have.
  #reap(tid: number): void {
    for (;;) {
      const stop = waitFor(tid)
      if (stop.kind !== 'stopped') return
      resume(tid)
    }
  }

  /** Lets a task go; one that was seized and has not stopped yet as soon as it does, with the signal that it stops with. */
  #release(tid: number): void {
    let signal = 0
    for (let tries = 0; tries < RELEASE_TRIES; tries++) {
      const result = detach(tid, signal)
      if (result === 0) return
      // ESRCH is the answer for a task that runs, too.
      if (result === -ESRCH) {
        let stop: Stop | undefined
        if (!undo(`waiting for ${tid}`, () => void (stop = waitFor(tid, true)))) return
        if (stop === undefined) nap(RELEASE_NAP_NS)
        else if (stop.kind !== 'stopped') return
        else signal = stop.event === 0 ? stop.signal : 0
      }
    }
    log.warn(HERE, `task ${tid} has not stopped yet: it is let go when we end`)
  }
}
