// Runs a program: the coordinator's calls one after another, those of a task in tables, and everything undone when a
// step fails. Tasks are traced from their first instruction on and die with us (PTRACE_O_EXITKILL) until they are let go.
import { BardoError } from '../base/errors.ts'
import { interrupted } from '../base/interrupt.ts'
import { log } from '../base/log.ts'
import { progress } from '../base/progress.ts'
import {
  AF_UNIX, CLONE_FILES, CLONE_FS, CLONE_SIGHAND, CLONE_SYSVSEM, CLONE_THREAD, CLONE_VM, F_DUPFD, FD_CLOEXEC, F_SETFD,
  MAP_ANONYMOUS, MAP_NORESERVE, MAP_SHARED, MSG_CMSG_CLOEXEC, O_CLOEXEC, O_RDWR, PROT_READ, PROT_WRITE, PTRACE_EVENT_STOP,
  PTRACE_O_SUSPEND_SECCOMP, PTRACE_O_TRACECLONE, PTRACE_O_TRACEFORK, PTRACE_O_TRACEVFORK, SCM_RIGHTS, SEEK_SET,
  SOCK_CLOEXEC, SOCK_SEQPACKET, SOL_SOCKET,
} from '../linux/constants.ts'
import { Arena, syscall, type Word } from '../linux/ffi.ts'
import { NR } from '../linux/nr.ts'
import { must, refusal, scratch, sys } from '../linux/sys.ts'
import { bytesOf } from '../base/bytes.ts'
import { copyTo } from '../tracee/memory.ts'
import { eventMessage, resume, setSigmask, setThreadArea, waitFor } from '../tracee/ptrace.ts'
import { Remote, type Table } from '../tracee/remote.ts'
import { Thread } from '../tracee/stopped.ts'
import { letGo, prepareLeaving } from './leave.ts'
import {
  HOST, isSlot, type Argument, type CallStep, type EndStep, type FillStep, type HostStep, type LoadStep, type Memory,
  type PassStep, type Passed, type Program, type Run, type Slot, type SpawnStep, type Step, type ThreadState,
} from './program.ts'
import { cloneArgs, pidRefused, spawnRoot } from './spawn.ts'

const SIGCHLD = 17
const SIGKILL = 9
/** The kernel's limit of descriptors in one message (SCM_MAX_FD). */
const PASS_MAX = 253
const CMSG_HEADER = 16
/** Below this much, copying through our buffer costs less than lending the process the file. */
const THROUGH_US_MAX = 1 << 20
const IOV_MAX = 1024
const THREAD_FLAGS = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM

/** A task that was made: one thread, and the process that it is of. */
export type Made = { readonly thread: Thread; readonly remote: Remote; readonly pid: number }

export type Finish = 'run' | 'stop'

const placeOf = (step: Step): string => `${step.for.what}; phase ${step.for.phase}`

export class Runner {
  readonly #program: Program
  readonly #suspendsSeccomp: boolean
  readonly #values = new Map<number, number>()
  /** The last step that uses a host's fd slot: it is closed behind it. */
  readonly #lastUse = new Map<number, number>()
  readonly #closes = new Map<number, Slot[]>()
  readonly #kept: Arena
  readonly #placed = new Map<number, number>()
  readonly #tasks = new Map<number, Made>()
  readonly #states = new Map<number, ThreadState>()
  /** Processes in the order of their making; ended ones leave. */
  readonly #processes = new Set<number>()
  readonly #loaded = new Set<number>()
  #socket = -1
  #taskSocket = -1
  #table: { table: Table; actor: number; calls: { step: Step & CallStep; index: number }[] } | undefined
  #buffer: Arena | undefined

  constructor(program: Program, suspendsSeccomp: boolean) {
    this.#program = program
    this.#suspendsSeccomp = suspendsSeccomp
    this.#kept = new Arena(1 << 20)
    this.#findLastUses()
  }

  /** Runs all steps and lets the tasks go. Throws a BardoError that names the step; nothing is left then. */
  run(finish: Finish): void {
    const { steps } = this.#program
    try {
      this.#openSocket()
      for (let index = 0; index < steps.length; index++) {
        const step = steps[index]!
        this.#at(step, index, () => this.#step(step, index))
        if ((index & 63) === 0 && interrupted() !== 0)
          throw new BardoError('refused', 'interrupted', { hint: 'nothing was left behind' })
      }
      this.#flush()
      for (const pid of this.#processes) this.#leave(pid)
    } catch (error) {
      this.#abort()
      throw error
    }
    progress.end()
    letGo([...this.#processes].map(pid => this.#threadsOf(pid)), this.#states, finish)
    this.#closeSocket()
  }

  #at(step: Step, index: number, act: () => void): void {
    try {
      act()
    } catch (error) {
      if (error instanceof BardoError) {
        error.about(placeOf(step))
        log.debug(() => `step ${index + 1} of ${this.#program.steps.length} failed`)
      }
      throw error
    }
  }

  #step(step: Step, index: number): void {
    switch (step.do) {
      case 'call':
        if (step.actor === HOST) this.#hostCall(step)
        else this.#taskCall(step, step.actor)
        break
      case 'load':
        this.#load(step)
        break
      case 'pass':
        this.#flush()
        this.#pass(step)
        break
      case 'fill':
        this.#flush()
        this.#fill(step)
        break
      case 'spawn':
        this.#flush()
        this.#spawn(step)
        break
      case 'end':
        this.#flush()
        this.#end(step)
        break
      case 'host':
        this.#flush()
        this.#host(step)
        break
    }
    const closes = this.#closes.get(index)
    if (closes === undefined) return
    this.#flush()
    for (const slot of closes) syscall(NR.close, this.#value(slot))
  }

  // ---- slots and memory

  #findLastUses(): void {
    const { steps } = this.#program
    const owned = new Set<number>()
    steps.forEach((step, index) => {
      for (const slot of slotsOf(step)) {
        if (slot.kind !== 'fd' || slot.actor !== HOST) continue
        this.#lastUse.set(slot.id, index)
        if (!owned.has(slot.id)) owned.add(slot.id)
      }
      if (step.do === 'load') this.#loaded.add(step.from.id)
    })
    const seen = new Set<number>()
    steps.forEach(step => {
      for (const slot of slotsOf(step)) {
        if (slot.kind !== 'fd' || slot.actor !== HOST || seen.has(slot.id)) continue
        seen.add(slot.id)
        const last = this.#lastUse.get(slot.id)!
        const list = this.#closes.get(last)
        if (list === undefined) this.#closes.set(last, [slot])
        else list.push(slot)
      }
    })
  }

  #value(slot: Slot): number {
    const value = this.#values.get(slot.id)
    if (value === undefined) throw new BardoError('bug', `slot $${slot.id} is used before it is made`)
    return value
  }

  #filled(memory: Memory, addressOf: (inner: Memory) => number): Uint8Array {
    if (memory.holds.length === 0 && memory.pointers.length === 0) return memory.bytes
    const bytes = memory.bytes.slice()
    const view = new DataView(bytes.buffer)
    for (const { offset, slot } of memory.holds) view.setInt32(offset, this.#value(slot), true)
    for (const { offset, memory: inner } of memory.pointers) view.setBigUint64(offset, BigInt(addressOf(inner)), true)
    return bytes
  }

  // ---- calls of the coordinator

  #hostCall(step: CallStep): void {
    // A call of ours may depend on what tasks have done before it.
    this.#flush()
    const mark = scratch.mark()
    const words = step.args.map(argument => this.#hostWord(argument))
    const result = syscall(NR[step.name], ...(words as [Word?, Word?, Word?, Word?, Word?, Word?]))
    scratch.release(mark)
    if (result < 0 && !step.accept.includes(-result)) throw refusal(step.name, result, ...shownArguments(step.args))
    this.#values.set(step.result.id, result < 0 ? -1 : result)
  }

  #hostWord(argument: Argument): Word {
    if (typeof argument === 'number' || typeof argument === 'bigint') return argument
    if (typeof argument === 'string') return this.#text(argument)
    if (isSlot(argument)) return this.#value(argument)
    if (argument.kind === 'fd-path') return this.#text(`/proc/self/fd/${this.#value(argument.of)}`)
    return this.#hostMemory(argument)
  }

  #text(text: string): number {
    const bytes = bytesOf(text)
    const at = scratch.take(bytes.length + 1)
    scratch.at(at, bytes.length).set(bytes)
    return at
  }

  /** Memory that is looked at later stays; other memory lives for one call. */
  #hostMemory(memory: Memory): number {
    const place = this.#placed.get(memory.id)
    if (place !== undefined) return place
    const bytes = this.#filled(memory, inner => this.#hostMemory(inner))
    if (!this.#loaded.has(memory.id)) return scratch.put(bytes)
    const at = this.#kept.put(bytes)
    this.#placed.set(memory.id, at)
    return at
  }

  #load(step: LoadStep): void {
    const at = this.#placed.get(step.from.id)
    if (at === undefined) throw new BardoError('bug', 'memory is looked at before a call has used it')
    this.#values.set(step.result.id, this.#kept.view.getInt32(at - this.#kept.address + step.offset, true))
  }

  // ---- calls of tasks, gathered in tables

  #made(actor: number): Made {
    const made = this.#tasks.get(actor)
    if (made === undefined) throw new BardoError('bug', `task ${actor} is used before it is made`)
    return made
  }

  #taskCall(step: Step & CallStep, actor: number): void {
    if (this.#table !== undefined && (this.#table.actor !== actor || this.#needsAnswers(step))) this.#flush()
    const need = 128 + sizeOf(step.args)
    if (this.#table !== undefined && this.#table.table.free < need) this.#flush()
    if (this.#table === undefined) {
      const made = this.#made(actor)
      this.#table = { table: made.remote.table(made.thread), actor, calls: [] }
    }
    const { table, calls } = this.#table
    const words = step.args.map(argument => this.#taskWord(argument, table))
    calls.push({ step, index: table.call(step.name, words, { mayFail: step.accept.length > 0 }) })
  }

  /** Whether a call uses what a call of the table that is being gathered will answer. */
  #needsAnswers(step: CallStep): boolean {
    const waiting = this.#table!.calls
    const uses = (slot: Slot): boolean => waiting.some(({ step: made }) => made.result.id === slot.id)
    return step.args.some(
      argument =>
        typeof argument === 'object' &&
        (isSlot(argument) ? uses(argument) : argument.kind === 'memory' && argument.holds.some(({ slot }) => uses(slot))),
    )
  }

  #taskWord(argument: Argument, table: Table): Word {
    if (typeof argument === 'number' || typeof argument === 'bigint') return argument
    if (typeof argument === 'string') {
      const bytes = bytesOf(argument)
      const text = new Uint8Array(bytes.length + 1)
      text.set(bytes)
      return table.put(text)
    }
    if (isSlot(argument)) return this.#value(argument)
    if (argument.kind === 'fd-path') throw new BardoError('bug', 'a path of our own descriptors means nothing in a task')
    const put = (memory: Memory): number => table.put(this.#filled(memory, put))
    return put(argument)
  }

  #flush(): void {
    const pending = this.#table
    if (pending === undefined) return
    this.#table = undefined
    const { table, calls } = pending
    try {
      table.start()
      try {
        table.finish()
      } catch (error) {
        // The failing call is told by its own purpose, not by that of the step that came to flush.
        const failed = calls.find(({ step, index }) => table.result(index) < 0 && step.accept.length === 0)
        if (error instanceof BardoError && error.code === 'refused' && failed !== undefined)
          throw taskRefusal(failed.step, table.result(failed.index), pending.actor)
        throw error
      }
      for (const { step, index } of calls) {
        const result = table.result(index)
        if (result < 0 && result >= -4095 && !step.accept.includes(-result)) throw taskRefusal(step, result, pending.actor)
        this.#values.set(step.result.id, result < 0 && result >= -4095 ? -1 : result)
      }
    } finally {
      table[Symbol.dispose]()
    }
  }

  // ---- passing files

  #openSocket(): void {
    const mark = scratch.mark()
    const pair = scratch.take(8)
    must('socketpair', AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair)
    this.#socket = scratch.view.getInt32(pair - scratch.address, true)
    const other = scratch.view.getInt32(pair + 4 - scratch.address, true)
    scratch.release(mark)
    const { socket } = this.#program.places
    const dup = must('fcntl', other, F_DUPFD, socket)
    syscall(NR.close, other)
    this.#taskSocket = dup
    if (dup !== socket) throw new BardoError('bug', `descriptor ${socket} is not free`)
  }

  #closeSocket(): void {
    if (this.#socket >= 0) syscall(NR.close, this.#socket)
    if (this.#taskSocket >= 0) syscall(NR.close, this.#taskSocket)
    this.#socket = this.#taskSocket = -1
  }

  #send(files: readonly Passed[]): void {
    const mark = scratch.mark()
    const byte = scratch.take(8)
    const iov = scratch.take(16)
    const control = scratch.take(CMSG_HEADER + files.length * 4)
    const header = scratch.take(56)
    const put = (at: number, value: number): void => scratch.view.setBigUint64(at - scratch.address, BigInt(value), true)
    put(iov, byte)
    put(iov + 8, 1)
    put(control, CMSG_HEADER + files.length * 4)
    scratch.view.setInt32(control + 8 - scratch.address, SOL_SOCKET, true)
    scratch.view.setInt32(control + 12 - scratch.address, SCM_RIGHTS, true)
    files.forEach(({ file }, index) =>
      scratch.view.setInt32(control + CMSG_HEADER + 4 * index - scratch.address, this.#value(file), true),
    )
    put(header + 16, iov)
    put(header + 24, 1)
    put(header + 32, control)
    put(header + 40, CMSG_HEADER + files.length * 4)
    const result = syscall(NR.sendmsg, this.#socket, header, 0)
    scratch.release(mark)
    if (result < 0) throw refusal('sendmsg', result, this.#socket)
  }

  /** Receives what was sent; the numbers that the files got, which are the lowest free ones in their order. */
  #receive(made: Made, count: number, cloexec: boolean, then: (table: Table) => void = () => {}): number[] {
    using table = made.remote.table(made.thread)
    const byte = table.take(8)
    const iov = table.words([BigInt(byte), 1n])
    const room = Math.ceil((CMSG_HEADER + count * 4) / 8) * 8
    const control = table.take(room)
    const header = table.words([0n, 0n, BigInt(iov), 1n, BigInt(control), BigInt(room), 0n])
    table.call('recvmsg', [this.#program.places.socket, header, cloexec ? MSG_CMSG_CLOEXEC : 0])
    then(table)
    table.run()
    return Array.from({ length: count }, (_, index) => table.word32(control + CMSG_HEADER + 4 * index))
  }

  #pass(step: PassStep): void {
    const made = this.#made(step.actor)
    const lent = step.files.filter(({ number }) => number === undefined)
    for (let first = 0; first < lent.length; first += PASS_MAX) {
      const batch = lent.slice(first, first + PASS_MAX)
      this.#send(batch)
      const numbers = this.#receive(made, batch.length, true)
      batch.forEach(({ result }, index) => result !== undefined && this.#values.set(result.id, numbers[index]!))
    }
    // Received files get the lowest free numbers in their order, and a list sorted by number never needs to move one
    // below where it lands: so, beginning with the highest, each can go to its place without meeting another
    // (test/kernel/scm-rights-order.test.ts). The table of the task holds nothing else then.
    const placed = step.files.filter(({ number }) => number !== undefined).sort((a, b) => a.number! - b.number!)
    for (let end = placed.length; end > 0; ) {
      const start = Math.max(0, end - PASS_MAX)
      const batch = placed.slice(start, end)
      this.#send(batch)
      this.#receive(made, batch.length, false, table => {
        for (let index = batch.length - 1; index >= 0; index--) {
          const { number, cloexec } = batch[index]!
          if (number !== index) {
            table.call('dup3', [index, number!, cloexec ? O_CLOEXEC : 0])
            table.call('close', [index])
          } else if (cloexec) table.call('fcntl', [index, F_SETFD, FD_CLOEXEC])
        }
      })
      end = start
    }
  }

  // ---- memory

  #fill(step: FillStep): void {
    const made = this.#made(step.actor)
    const total = step.runs.reduce((sum, run) => sum + run.length, 0)
    if (total <= THROUGH_US_MAX) this.#fillThroughUs(made, step, total)
    else this.#fillItself(made, step, total)
  }

  #fillThroughUs(made: Made, step: FillStep, total: number): void {
    this.#buffer ??= new Arena(THROUGH_US_MAX)
    const file = this.#value(step.file)
    const first = step.runs[0]!.offset
    const last = step.runs.at(-1)!
    const span = last.offset + last.length - first
    // Runs of one process lie together in the file: one read brings them all.
    const together = span === total
    if (together) readExactly(file, this.#buffer.address, span, first)
    for (const { address, length, offset } of step.runs) {
      const at = this.#buffer.address + (together ? offset - first : 0)
      if (!together) readExactly(file, at, length, offset)
      copyTo(made.pid, address, length, at)
    }
  }

  /** The task reads its pages itself, as many calls a stop as a table has room for. */
  #fillItself(made: Made, step: FillStep, total: number): void {
    const lent: Passed = { file: step.file, number: undefined, cloexec: true }
    this.#send([lent])
    const fd = this.#receive(made, 1, true)[0]!
    const { runs } = step
    let done = 0
    let next = 0
    let skip = 0
    while (next < runs.length) {
      using table = made.remote.table(made.thread)
      const planned: number[] = []
      while (next < runs.length && table.free > IOV_MAX * 16 + 256) {
        const offset = runs[next]!.offset + skip
        const words: bigint[] = []
        let bytes = 0
        while (next < runs.length && words.length < 2 * IOV_MAX && bytes < MAX_CALL_BYTES) {
          const run = runs[next]!
          if (run.offset + skip !== offset + bytes) break
          const part = Math.min(run.length - skip, MAX_CALL_BYTES - bytes)
          words.push(BigInt(run.address + skip), BigInt(part))
          bytes += part
          skip += part
          if (skip === run.length) {
            next++
            skip = 0
          }
        }
        table.call('preadv', [fd, table.words(words), words.length / 2, offset, 0])
        planned.push(bytes)
      }
      table.run()
      planned.forEach((bytes, index) => {
        if (table.result(index) !== bytes)
          throw new BardoError('bad-image', 'a file of pages is shorter than its pagemap says', { where: `pid ${made.pid}` })
        done += bytes
      })
      progress.bytes(done, total)
    }
    using table = made.remote.table(made.thread)
    table.call('close', [fd])
    table.run()
  }

  // ---- making and ending tasks

  get #options(): number {
    return (
      PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | (this.#suspendsSeccomp ? PTRACE_O_SUSPEND_SECCOMP : 0)
    )
  }

  #adopt(tid: number, pid: number, remote: Remote | undefined): Made {
    const thread = new Thread(tid, 0)
    let own = remote
    if (own === undefined) {
      const { scratch: address, scratchSize } = this.#program.places
      own = new Remote(pid, thread, { ownPid: pid, ownTid: one => one, ignored: 0n, caught: 0n, boot: 0 })
      own.adopt(address, scratchSize)
    }
    const made = { thread, remote: own, pid }
    this.#tasks.set(tid, made)
    return made
  }

  #spawn(step: SpawnStep): void {
    const { spawn, task } = step
    if (spawn.kind === 'root') {
      spawnRoot(task, spawn.sibling, this.#program.places, this.#options)
      this.#processes.add(task)
      const made = this.#adopt(task, task, undefined)
      const { socket, park } = this.#program.places
      using table = made.remote.table(made.thread)
      table.call('munmap', [park, 4096])
      if (socket > 0) table.call('close_range', [0, socket - 1, 0])
      table.call('close_range', [socket + 1, 0xffffffff, 0])
      table.run()
      return
    }
    const parent = this.#made(step.actor as number)
    const isThread = spawn.kind === 'thread'
    using table = parent.remote.table(parent.thread)
    const pids = new Uint8Array(8)
    new DataView(pids.buffer).setUint32(0, task, true)
    const args = cloneArgs(isThread ? THREAD_FLAGS : spawn.flags, isThread ? 0 : SIGCHLD, table.put(pids))
    const call = table.call('clone3', [table.put(args), args.length], { mayFail: true })
    table.run(() => this.#born(eventMessage(parent.thread.tid), isThread ? parent : undefined))
    if (table.result(call) < 0) throw pidRefused(task, -table.result(call))
    if (table.result(call) !== task) throw new BardoError('bug', `task ${task} was made as ${table.result(call)}`)
  }

  /** A new task is stopped before it returns from clone; it must not be let run with its maker's registers. */
  #born(tid: number, processOf: Made | undefined): void {
    if (processOf === undefined) this.#processes.add(tid)
    for (;;) {
      const stop = waitFor(tid)
      if (stop.kind !== 'stopped') throw new BardoError('lost', `the new task ${tid} died`)
      if (stop.event === PTRACE_EVENT_STOP) break
      resume(tid)
    }
    this.#adopt(tid, processOf?.pid ?? tid, processOf?.remote)
  }

  #end(step: EndStep): void {
    const { actor, status, reap } = step
    const made = this.#made(actor)
    const signal = status & 0x7f
    if (signal === 0) {
      using table = made.remote.table(made.thread)
      table.call('exit_group', [(status >> 8) & 0xff])
      table.start()
      this.#ended(actor, 0)
    } else {
      setSigmask(actor, 0n)
      must('kill', actor, signal)
      // SIGKILL ends it where it stands; others are delivered, and reported to us first.
      if (signal !== SIGKILL) resume(actor)
      this.#ended(actor, signal)
    }
    this.#tasks.delete(actor)
    this.#processes.delete(actor)
    if (reap === undefined) return
    const parent = this.#made(reap)
    using table = parent.remote.table(parent.thread)
    table.call('wait4', [actor, 0, 0x40000000, 0])
    table.run()
  }

  #ended(tid: number, signal: number): void {
    for (;;) {
      const stop = waitFor(tid)
      if (stop.kind !== 'stopped') return
      resume(tid, signal !== 0 && stop.signal === signal && stop.event === 0 ? signal : 0)
    }
  }

  // ---- acts of the coordinator

  #host(step: HostStep): void {
    const { act } = step
    switch (act.name) {
      case 'shared_memory':
        this.#values.set(act.result.id, sharedMemory(act.bytes))
        break
      case 'copy':
        copyRuns(this.#value(act.from), this.#value(act.to), act.runs)
        break
      case 'state':
        this.#states.set(act.thread, act)
        break
      case 'thread_area':
        setThreadArea(act.thread, act.entry, act.desc)
        break
    }
  }

  // ---- the end

  #threadsOf(pid: number): Made[] {
    const all = [...this.#tasks.values()].filter(made => made.pid === pid)
    return all.sort((a, b) => (a.thread.tid === pid ? -1 : b.thread.tid === pid ? 1 : 0))
  }

  /** Gives a process its registers and takes away what was lent; from here on nothing in it is ours but the tracing. */
  #leave(pid: number): void {
    const threads = this.#threadsOf(pid)
    prepareLeaving(threads, this.#states, this.#program.places)
  }

  /** Kills what was made. Tasks that we trace die with a SIGKILL whatever they are in. */
  #abort(): void {
    for (const pid of this.#processes) syscall(NR.kill, pid, SIGKILL)
    // Threads before leaders, whose end is told last; and they were made later.
    for (const { thread } of [...this.#tasks.values()].reverse()) {
      try {
        for (;;) {
          const stop = waitFor(thread.tid)
          if (stop.kind !== 'stopped') break
          resume(thread.tid)
        }
      } catch {
        // Gone already: threads end with their leader.
      }
    }
    for (const [id, value] of this.#values) if (this.#lastUse.has(id) && value > 2) syscall(NR.close, value)
    this.#closeSocket()
  }
}

/** The kernel moves at most this much in one call (MAX_RW_COUNT). */
const MAX_CALL_BYTES = 0x7ffff000

function readExactly(file: number, at: number, length: number, offset: number): void {
  for (let done = 0; done < length; ) {
    const n = syscall(NR.pread64, file, at + done, length - done, offset + done)
    if (n <= 0)
      throw new BardoError(n === 0 ? 'bad-image' : 'refused', 'a file of pages is shorter than its pagemap says', {
        errno: n < 0 ? -n : undefined,
      })
    done += n
  }
}

/** Shared anonymous memory that has no name, as mmap makes it: taken out of a mapping of our own by map_files. */
function sharedMemory(bytes: number): number {
  const address = must('mmap', 0, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
  const range = `${address.toString(16)}-${(address + Math.ceil(bytes / 4096) * 4096).toString(16)}`
  const fd = sys('openat', -100, `/proc/self/map_files/${range}`, O_RDWR | O_CLOEXEC)
  must('munmap', address, bytes)
  if (fd < 0)
    throw new BardoError('refused', 'cannot make shared memory', {
      errno: -fd, hint: 'map_files needs CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE',
    })
  return fd
}

function copyRuns(from: number, to: number, runs: readonly Run[]): void {
  for (const { address, length, offset } of runs) {
    must('lseek', from, offset, SEEK_SET)
    must('lseek', to, address, SEEK_SET)
    for (let left = length; left > 0; ) {
      const n = sys('sendfile', to, from, 0, Math.min(left, MAX_CALL_BYTES))
      if (n < 0) throw refusal('sendfile', n, to, from)
      if (n === 0) throw new BardoError('bad-image', 'a file of pages is shorter than its pagemap says')
      left -= n
    }
  }
}

/** Every slot that a step makes or uses. */
function slotsOf(step: Step): Slot[] {
  const ofArgument = (argument: Argument): Slot[] => {
    if (typeof argument !== 'object') return []
    if (isSlot(argument)) return [argument]
    if (argument.kind === 'fd-path') return [argument.of]
    return [...argument.holds.map(({ slot }) => slot), ...argument.pointers.flatMap(({ memory }) => ofArgument(memory))]
  }
  switch (step.do) {
    case 'call':
      return [step.result, ...step.args.flatMap(ofArgument)]
    case 'load':
      return [step.result]
    case 'fill':
      return [step.file]
    case 'pass':
      return step.files.flatMap(({ file, result }) => (result === undefined ? [file] : [file, result]))
    case 'spawn':
    case 'end':
      return []
    case 'host':
      if (step.act.name === 'shared_memory') return [step.act.result]
      return step.act.name === 'copy' ? [step.act.from, step.act.to] : []
  }
}

export { slotsOf }

const sizeOf = (args: readonly Argument[]): number =>
  args.reduce<number>((sum, argument) => {
    if (typeof argument === 'string') return sum + argument.length * 3 + 16
    if (typeof argument !== 'object' || argument.kind !== 'memory') return sum
    return sum + argument.bytes.length + 16 + argument.pointers.reduce((inner, { memory }) => inner + memory.bytes.length + 16, 0)
  }, 0)

function taskRefusal(step: Step & CallStep, result: number, actor: number): BardoError {
  return refusal(step.name, result, ...shownArguments(step.args)).about(`task ${actor}, ${step.for.what}; phase ${step.for.phase}`)
}

const shownArguments = (args: readonly Argument[]): (number | bigint | string)[] =>
  args.map(argument =>
    typeof argument !== 'object' ? argument : isSlot(argument) ? `$${argument.id}` : argument.kind === 'fd-path' ? `fd $${argument.of.id}` : `${argument.bytes.length} bytes`,
  )

