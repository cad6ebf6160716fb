// Runs a program: the coordinator's calls one after another, those of a task in tables, and everything undone when a
// step fails. Tasks are traced from their first instruction on and die with us (PTRACE_O_EXITKILL) until they are let go.
// It is long: the kinds of steps share slots, tasks and what is to be undone, and are told here side by side.
import { BardoError } from '../base/errors.ts'
import { interrupted } from '../base/interrupt.ts'
import { log } from '../base/log.ts'
import { progress } from '../base/progress.ts'
import {
  AT_REMOVEDIR,
  CLONE_FILES,
  CLONE_FS,
  CLONE_SIGHAND,
  CLONE_SYSVSEM,
  CLONE_THREAD,
  CLONE_VM,
  O_CREAT,
  O_EXCL,
  PTRACE_EVENT_STOP,
  PTRACE_O_SUSPEND_SECCOMP,
  PTRACE_O_TRACECLONE,
  PTRACE_O_TRACEFORK,
  PTRACE_O_TRACEVFORK,
  SIGCHLD,
  SIGKILL,
} from '../linux/constants.ts'
import { Arena, syscall, type Word } from '../linux/ffi.ts'
import { NR } from '../linux/nr.ts'
import { must, refusal, scratch, sys } from '../linux/sys.ts'
import { bytesOf } from '../base/bytes.ts'
import { pokeMemory } from '../tracee/memory.ts'
import { eventMessage, resume, setSigmask, setThreadArea, waitFor } from '../tracee/ptrace.ts'
import { Remote } from '../tracee/remote.ts'
import { Thread } from '../tracee/stopped.ts'
import { TABLE_SIZE, type Table } from '../tracee/table.ts'
import { copyRuns, fillMemory, sharedMemory } from './fill.ts'
import { letGo, prepareLeaving } from './leave.ts'
import { PassSocket } from './pass.ts'
import {
  HOST,
  isSlot,
  type Argument,
  type CallStep,
  type EndStep,
  type HostStep,
  type LoadStep,
  type Memory,
  type PassStep,
  type Program,
  type Slot,
  type SpawnStep,
  type Step,
  type ThreadState,
} from './program.ts'
import { slotsOf } from './slots.ts'
import { cloneArgs, pidRefused, spawnRoot } from './spawn.ts'

/** Tasks that one table makes. */
const CLONES_MAX = 32
const THREAD_FLAGS = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM

/** Of openat(2): the file is new, and so its name is ours. */
const CREATES = O_CREAT | O_EXCL

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
  /** The threads of each process, its leader first. */
  readonly #threads = new Map<number, Made[]>()
  readonly #states = new Map<number, ThreadState>()
  /** Processes in the order of their making; ended ones leave. */
  readonly #processes = new Set<number>()
  /** All threads that were made and have not been waited for, in the order of their making. */
  readonly #tids = new Set<number>()
  readonly #loaded = new Set<number>()
  /** Names in the file system that were made by us, in directories of ours that are open. */
  readonly #names: { readonly at: number; readonly base: string; readonly flags: number }[] = []
  #socket: PassSocket | undefined
  /** Tasks to be made by one maker, gathered. */
  #clones:
    | { maker: number; isThread: boolean; steps: { step: Step & SpawnStep; task: number; flags: number }[] }
    | undefined
  #table: { table: Table; actor: number; calls: { step: Step & CallStep; index: number }[] } | undefined

  constructor(program: Program, suspendsSeccomp: boolean) {
    this.#program = program
    this.#suspendsSeccomp = suspendsSeccomp
    this.#kept = new Arena(64 << 10)
    this.#findLastUses()
  }

  /** Runs all steps and lets the tasks go. Throws a BardoError that names the step; nothing is left then. */
  run(finish: Finish): void {
    const { steps } = this.#program
    try {
      this.#socket = new PassSocket(this.#program.places.socket)
      for (let index = 0; index < steps.length; index++) {
        const step = steps[index]!
        this.#at(step, index, () => this.#step(step, index))
        if ((index & 63) === 0 && interrupted() !== 0)
          throw new BardoError('refused', 'interrupted', { hint: 'nothing was left behind' })
      }
      this.#flush()
      for (const pid of this.#processes) this.#leave(pid)
      progress.end()
      letGo(
        [...this.#processes].map(pid => this.#threadsOf(pid)),
        this.#states,
        finish,
      )
    } catch (error) {
      this.#abort()
      throw error
    }
    this.#socket?.[Symbol.dispose]()
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
    if (this.#clones !== undefined && !this.#isNextClone(step)) this.#flush()
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
        fillMemory(this.#made(step.actor), this.#value(step.file), step.runs, this.#socket!)
        break
      case 'spawn':
        if (!this.#isNextClone(step)) this.#flush()
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
    if (result >= 0) this.#noteName(step)
  }

  // Files may get a name for a moment; if the program does not come to the step that takes it away, the end does.
  #noteName({ name, args }: CallStep): void {
    const first = name === 'linkat' ? 2 : 0
    const [directory, base, flags] = [args[first], args[first + 1], args[first + 2]]
    if (typeof base !== 'string') return
    if (typeof directory !== 'number' && !(directory !== undefined && isSlot(directory))) return
    const at = typeof directory === 'number' ? directory : this.#value(directory)
    if (name === 'unlinkat') {
      const index = this.#names.findIndex(one => one.at === at && one.base === base)
      if (index >= 0) this.#names.splice(index, 1)
    } else if (name === 'mkdirat') this.#names.push({ at, base, flags: AT_REMOVEDIR })
    else if (name === 'linkat' || name === 'mknodat' || (name === 'openat' && (Number(flags) & CREATES) === CREATES))
      this.#names.push({ at, base, flags: 0 })
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
      const { start, end } = made.remote
      // A call with much memory, a filter or a list of groups, gets all the room that there is.
      const table = need < TABLE_SIZE / 2 ? made.remote.table(made.thread) : made.remote.table(made.thread, start, end)
      this.#table = { table, actor, calls: [] }
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
        (isSlot(argument)
          ? uses(argument)
          : argument.kind === 'memory' && argument.holds.some(({ slot }) => uses(slot))),
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
    if (argument.kind === 'fd-path')
      throw new BardoError('bug', 'a path of our own descriptors means nothing in a task')
    const put = (memory: Memory): number => table.put(this.#filled(memory, put))
    return put(argument)
  }

  #flush(): void {
    this.#flushClones()
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
        if (result < 0 && result >= -4095 && !step.accept.includes(-result))
          throw taskRefusal(step, result, pending.actor)
        this.#values.set(step.result.id, result < 0 && result >= -4095 ? -1 : result)
      }
    } finally {
      table[Symbol.dispose]()
    }
  }

  #pass(step: PassStep): void {
    const made = this.#made(step.actor)
    const lent = step.files.filter(({ number }) => number === undefined)
    const numbers = this.#socket!.lend(
      made,
      lent.map(({ file }) => this.#value(file)),
    )
    lent.forEach(({ result }, index) => result !== undefined && this.#values.set(result.id, numbers[index]!))
    const placed = step.files.flatMap(({ file, number, cloexec }) =>
      number === undefined ? [] : [{ ours: this.#value(file), number, cloexec }],
    )
    this.#socket!.place(made, placed)
  }

  // ---- making and ending tasks

  get #options(): number {
    return (
      PTRACE_O_TRACECLONE |
      PTRACE_O_TRACEFORK |
      PTRACE_O_TRACEVFORK |
      (this.#suspendsSeccomp ? PTRACE_O_SUSPEND_SECCOMP : 0)
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
    const threads = this.#threads.get(pid)
    if (threads === undefined) this.#threads.set(pid, [made])
    else threads.push(made)
    return made
  }

  #spawn(step: Step & SpawnStep): void {
    const { spawn, task } = step
    if (spawn.kind === 'root') {
      spawnRoot(task, spawn.sibling, this.#program.places, this.#options)
      this.#processes.add(task)
      this.#tids.add(task)
      const made = this.#adopt(task, task, undefined)
      const { socket, park } = this.#program.places
      using table = made.remote.table(made.thread)
      table.call('munmap', [park, 4096])
      if (socket > 0) table.call('close_range', [0, socket - 1, 0])
      table.call('close_range', [socket + 1, 0xffffffff, 0])
      table.run()
      return
    }
    this.#clones ??= { maker: step.actor as number, isThread: spawn.kind === 'thread', steps: [] }
    this.#clones.steps.push({ step, task, flags: spawn.kind === 'thread' ? THREAD_FLAGS : spawn.flags })
    if (this.#clones.steps.length === CLONES_MAX) this.#flush()
  }

  /** Whether a step makes one more of the tasks that are being gathered, by the same maker. */
  #isNextClone(step: Step): boolean {
    const clones = this.#clones
    return (
      step.do === 'spawn' &&
      clones !== undefined &&
      clones.maker === step.actor &&
      clones.isThread === (step.spawn.kind === 'thread')
    )
  }

  /** Makes the tasks that were gathered, in one table of their maker: it stops at each birth. */
  #flushClones(): void {
    const clones = this.#clones
    if (clones === undefined) return
    this.#clones = undefined
    const parent = this.#made(clones.maker)
    using table = parent.remote.table(parent.thread)
    const calls = clones.steps.map(({ task, flags }) => {
      const pids = new Uint8Array(8)
      new DataView(pids.buffer).setUint32(0, task, true)
      const args = cloneArgs(flags, clones.isThread ? 0 : SIGCHLD, table.put(pids))
      return table.call('clone3', [table.put(args), args.length], { mayFail: true })
    })
    table.run(() => this.#born(eventMessage(parent.thread.tid), clones.isThread ? parent : undefined))
    clones.steps.forEach(({ step, task }, index) => {
      const made = table.result(calls[index]!)
      if (made < 0) throw pidRefused(task, -made).about(placeOf(step))
      if (made !== task) throw new BardoError('bug', `task ${task} was made as ${made}`)
    })
  }

  /** A new task is stopped before it returns from clone; it must not be let run with its maker's registers. */
  #born(tid: number, processOf: Made | undefined): void {
    if (processOf === undefined) this.#processes.add(tid)
    this.#tids.add(tid)
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
    this.#tids.delete(actor)
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
      case 'take':
        this.#values.set(act.result.id, this.#take(act.task, this.#value(act.file)))
        break
      case 'poke':
        pokeMemory(this.#made(act.task).pid, act.address, act.bytes)
        break
      case 'state':
        this.#states.set(act.thread, act)
        break
      case 'thread_area':
        setThreadArea(act.thread, act.entry, act.desc)
        break
    }
  }

  #take(task: number, fd: number): number {
    const pidfd = must('pidfd_open', this.#made(task).pid, 0)
    try {
      return must('pidfd_getfd', pidfd, fd, 0)
    } finally {
      syscall(NR.close, pidfd)
    }
  }

  // ---- the end

  #threadsOf(pid: number): Made[] {
    return this.#threads.get(pid) ?? []
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
    for (const tid of [...this.#tids].toReversed()) {
      try {
        while (waitFor(tid).kind === 'stopped') resume(tid)
      } catch {
        // Gone already: threads end with their leader.
      }
    }
    for (const { at, base, flags } of this.#names.toReversed()) sys('unlinkat', at, base, flags)
    for (const [id, value] of this.#values) if (this.#lastUse.has(id) && value > 2) syscall(NR.close, value)
    this.#socket?.[Symbol.dispose]()
  }
}

const sizeOf = (args: readonly Argument[]): number =>
  args.reduce<number>((sum, argument) => {
    if (typeof argument === 'string') return sum + argument.length * 3 + 16
    if (typeof argument !== 'object' || argument.kind !== 'memory') return sum
    return (
      sum +
      argument.bytes.length +
      16 +
      argument.pointers.reduce((inner, { memory }) => inner + memory.bytes.length + 16, 0)
    )
  }, 0)

function taskRefusal(step: Step & CallStep, result: number, actor: number): BardoError {
  return refusal(step.name, result, ...shownArguments(step.args)).about(
    `task ${actor}, ${step.for.what}; phase ${step.for.phase}`,
  )
}

const shownArguments = (args: readonly Argument[]): (number | bigint | string)[] =>
  args.map(argument =>
    typeof argument !== 'object'
      ? argument
      : isSlot(argument)
        ? `$${argument.id}`
        : argument.kind === 'fd-path'
          ? `fd $${argument.of.id}`
          : `${argument.bytes.length} bytes`,
  )
