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
  PTRACE_INTERRUPT,
  PTRACE_O_SUSPEND_SECCOMP,
  SIGCHLD,
  SIGKILL,
} from '../linux/constants.ts'
import { Arena, syscall, type Word } from '../linux/ffi.ts'
import { NR } from '../linux/nr.ts'
import { must, refusal, scratch, sys } from '../linux/sys.ts'
import { bytesOf } from '../base/bytes.ts'
import { pokeMemory } from '../tracee/memory.ts'
import { resume, setSigmask, setThreadArea, waitFor } from '../tracee/ptrace.ts'
import { Remote } from '../tracee/remote.ts'
import { Thread } from '../tracee/stopped.ts'
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
import { TaskTables, filled, shownArguments, type Made, type Slots } from './tables.ts'

/** Tasks that one table makes, and its size. */
const CLONES_MAX = 128
const CLONES_SIZE = 32 << 10
/** Of clone(2): the new task is traced by its maker's tracer, as its maker is. */
const CLONE_PTRACE = 0x2000
const THREAD_FLAGS = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM

/** Of openat(2): the file is new, and so its name is ours. */
const CREATES = O_CREAT | O_EXCL

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
  /** Ids of tasks that are being made; they may be anybody's. */
  readonly #unborn = new Set<number>()
  readonly #loaded = new Set<number>()
  /** Slots that other steps than their maker use. */
  readonly #used = new Set<number>()
  /** Names in the file system that were made by us, in directories of ours that are open. */
  readonly #names: { readonly at: number; readonly base: string; readonly flags: number }[] = []
  #socket: PassSocket | undefined
  /** Tasks to be made by one maker, gathered. */
  #clones:
    | { maker: number; isThread: boolean; steps: { step: Step & SpawnStep; task: number; flags: number }[] }
    | undefined
  #tables: TaskTables | undefined
  readonly #slots: Slots = {
    value: slot => this.#value(slot),
    set: (slot, value) => void this.#values.set(slot.id, value),
    isUsed: slot => this.#used.has(slot.id),
  }

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
      this.#tables = new TaskTables(this.#slots, this.#socket)
      for (let index = 0; index < steps.length; index++) {
        const step = steps[index]!
        this.#at(step, index, () => this.#step(step, index))
        if ((index & 63) === 0 && interrupted() !== 0)
          throw new BardoError('refused', 'interrupted', { hint: 'nothing was left behind' })
      }
      // Nothing is passed any more.
      for (const pid of this.#processes) this.#tables.closeSocket(this.#made(pid))
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
    } finally {
      this.#kept.unmap()
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
        else this.#tables!.call(step, this.#made(step.actor))
        break
      case 'load':
        this.#load(step)
        break
      case 'pass':
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
        // A state is only noted.
        if (step.act.name !== 'state') this.#flush()
        this.#host(step)
        break
    }
    for (const slot of this.#closes.get(index) ?? []) this.#tables!.close(this.#value(slot))
  }

  // ---- slots and memory

  #findLastUses(): void {
    const seen = new Set<number>()
    const files: Slot[] = []
    this.#program.steps.forEach((step, index) => {
      for (const slot of slotsOf(step)) {
        if (seen.has(slot.id)) this.#used.add(slot.id)
        else {
          seen.add(slot.id)
          if (slot.kind === 'fd' && slot.actor === HOST) files.push(slot)
        }
        if (slot.kind === 'fd' && slot.actor === HOST) this.#lastUse.set(slot.id, index)
      }
      if (step.do === 'load') this.#loaded.add(step.from.id)
    })
    for (const slot of files) {
      const last = this.#lastUse.get(slot.id)!
      const list = this.#closes.get(last)
      if (list === undefined) this.#closes.set(last, [slot])
      else list.push(slot)
    }
  }

  #value(slot: Slot): number {
    const value = this.#values.get(slot.id)
    if (value === undefined) throw new BardoError('bug', `slot $${slot.id} is used before it is made`)
    return value
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
    const bytes = filled(memory, this.#slots, inner => this.#hostMemory(inner))
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

  // ---- calls of tasks, and files for them

  #made(actor: number): Made {
    const made = this.#tasks.get(actor)
    if (made === undefined) throw new BardoError('bug', `task ${actor} is used before it is made`)
    return made
  }

  /** What was gathered is done. */
  #flush(): void {
    this.#flushClones()
    this.#tables?.flush()
  }

  #pass(step: PassStep & Step): void {
    const made = this.#made(step.actor)
    const placed = step.files.flatMap(({ file, number, cloexec }) =>
      number === undefined ? [] : [{ ours: this.#value(file), number, cloexec }],
    )
    if (placed.length < step.files.length) {
      this.#flush()
      const lent = step.files.filter(({ number }) => number === undefined)
      const numbers = this.#socket!.lend(
        made,
        lent.map(({ file }) => this.#value(file)),
      )
      lent.forEach(({ result }, index) => result !== undefined && this.#values.set(result.id, numbers[index]!))
    }
    if (placed.length > 0) this.#tables!.place(step.for.phase, made, placed)
  }

  // ---- making and ending tasks

  get #options(): number {
    return this.#suspendsSeccomp ? PTRACE_O_SUSPEND_SECCOMP : 0
  }

  #adopt(tid: number, pid: number, maker: Made | undefined): Made {
    const thread = new Thread(tid, 0, maker?.thread)
    let own = maker?.remote
    if (own?.pid !== pid) {
      const { scratch: address, scratchSize } = this.#program.places
      own = new Remote(pid, thread, { ownPid: pid, ownTid: one => one, ignored: 0n, caught: 0n, boot: 0 })
      own.adopt(address, scratchSize, maker !== undefined)
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
      const calls = spawnRoot(task, spawn.sibling, this.#program.places, this.#options)
      this.#processes.add(task)
      this.#tids.add(task)
      const made = this.#adopt(task, task, undefined)
      const { socket } = this.#program.places
      using table = made.remote.table(made.thread)
      for (const { name, args } of calls) table.call(name, args)
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

  /** Makes the tasks that were gathered, in one table of their maker. */
  #flushClones(): void {
    const clones = this.#clones
    if (clones === undefined) return
    this.#clones = undefined
    const maker = this.#made(clones.maker)
    using table = maker.remote.table(maker.thread, maker.remote.start, maker.remote.start + CLONES_SIZE)
    const calls = clones.steps.map(({ task, flags }) => {
      this.#unborn.add(task)
      const pids = new Uint8Array(8)
      new DataView(pids.buffer).setUint32(0, task, true)
      const args = cloneArgs(flags | CLONE_PTRACE, clones.isThread ? 0 : SIGCHLD, table.put(pids))
      return table.call('clone3', [table.put(args), args.length], { mayFail: true })
    })
    table.run()
    const results = calls.map(call => table.result(call))
    clones.steps.forEach(({ task }, index) => {
      if (results[index] === task) this.#born(task, maker, clones.isThread)
    })
    clones.steps.forEach(({ step, task }, index) => {
      const made = results[index]!
      if (made < 0) throw pidRefused(task, -made).about(placeOf(step))
      if (made !== task) throw new BardoError('bug', `task ${task} was made as ${made}`)
    })
  }

  /**
   * A new task is traced as its maker is (CLONE_PTRACE), and stopped before its first instruction: its registers are its
   * maker's, with which it must not be let run (test/kernel/clone-ptrace.test.ts).
   */
  #born(tid: number, maker: Made, isThread: boolean): void {
    this.#unborn.delete(tid)
    if (!isThread) this.#processes.add(tid)
    this.#tids.add(tid)
    for (;;) {
      const stop = waitFor(tid)
      if (stop.kind !== 'stopped') throw new BardoError('lost', `the new task ${tid} died`)
      if (stop.event === PTRACE_EVENT_STOP) break
      resume(tid)
    }
    this.#adopt(tid, isThread ? maker.pid : tid, maker)
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
    for (const tid of this.#unborn)
      if (syscall(NR.ptrace, PTRACE_INTERRUPT, tid, 0, 0) >= 0) {
        this.#processes.add(tid)
        this.#tids.add(tid)
      }
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
