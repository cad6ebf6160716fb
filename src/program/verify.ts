// Checks a whole program before its first step is run: all that is wrong with it is told at once, nothing is touched.
// One walk over the steps, with a record of what each has made: time grows with the program, not with its square.
// It is long, a rule after the other, and in the way of every restore: it loads nothing but what it needs, and makes no text unless it finds something.
import type { BardoError } from '../base/errors.ts'
import { CLONE_FILES, PAGE_SIZE } from '../linux/constants.ts'
import { Descriptors } from './descriptors.ts'
import { Findings } from './findings.ts'
import {
  HOST,
  isSlot,
  type Actor,
  type Argument,
  type CallStep,
  type EndStep,
  type HostStep,
  type LoadStep,
  type Memory,
  type PassStep,
  type Program,
  type Run,
  type Slot,
  type SpawnStep,
  type Step,
} from './program.ts'
import { objectionTo } from './task-calls.ts'

/** What a program has to be held against on the machine where it is to run. */
export type VerifyHost = {
  /** Whether a process or a thread has this id now. */
  pidTaken(pid: number): boolean
  /** The name (comm) of the one that has it. */
  nameOf(pid: number): string
}

type Process = { readonly pid: number; readonly threads: Task[]; readonly table: Descriptors }
type Task = {
  readonly id: number
  readonly process: Process
  /** The step that spawned it; -1 while no step has, though one has used it. */
  readonly made: number
  ended: number | undefined
  /** The step that gave its state. */
  stated: number | undefined
}
/** `table` is undefined for a slot of the coordinator. */
type Made = { readonly table: Descriptors | undefined; readonly number: number | undefined; closed: number | undefined }

/** The kernel's limit of descriptors in one message (SCM_MAX_FD), which the runner passes at once. */
const PASS_MAX = 253
const ARGUMENTS_MAX = 6
/** Memory that points to memory and so on: no struct of the kernel goes deeper, and a cycle has no end. */
const DEPTH_MAX = 16
const FD_MAX = 0x7fff_ffff

/**
 * Everything that is wrong with a program, in the order of its steps; nothing for a good one. Never throws. Errors of
 * the program are of code `bug`; what stands against it on this host is `refused`. Each names the step (from 1), what
 * it is for and its phase; a thing that is wrong in many steps is told once, at the first of them.
 */
export function verifyProgram(program: Program, host: VerifyHost): BardoError[] {
  return new Verifier(program, host).verify()
}

class Verifier {
  readonly #program: Program
  readonly #host: VerifyHost
  readonly #slots = new Map<number, Made>()
  readonly #tasks = new Map<number, Task>()
  /** Memory of the coordinator that a call has used. */
  readonly #used = new Set<number>()
  readonly #findings: Findings
  #root: number | undefined

  constructor(program: Program, host: VerifyHost) {
    this.#program = program
    this.#host = host
    this.#findings = new Findings(program.steps)
  }

  verify(): BardoError[] {
    const { steps, root } = this.#program
    for (let index = 0; index < steps.length; index++) this.#step(steps[index]!, index)
    if (this.#root === undefined) this.#wrong('root', steps.length - 1, `the root, process ${root}, is never made`)
    for (const task of this.#tasks.values())
      if (task.made >= 0 && task.ended === undefined && task.stated === undefined)
        this.#wrong(`stateless ${task.id}`, task.made, `thread ${task.id} has no state to go on with`)
    return this.#findings.errors
  }

  #wrong(key: string, index: number, what: string, why?: string): void {
    this.#findings.add(key, index, what, why)
  }

  #step(step: Step, index: number): void {
    switch (step.do) {
      case 'call':
        return this.#call(step, index)
      case 'load':
        return this.#load(step, index)
      case 'fill':
        this.#actor(step.actor, index)
        this.#use(step.file, undefined, index)
        return this.#runs(step.runs, index, true)
      case 'pass':
        return this.#pass(step, index)
      case 'spawn':
        return this.#spawn(step, index)
      case 'end':
        return this.#end(step, index)
      case 'host':
        return this.#act(step, index)
    }
  }

  // ---- tasks

  /** The task that acts, or is acted upon. One that was not spawned is told once, and from there on has a stand-in. */
  #actor(id: number, index: number): Task {
    const task = this.#tasks.get(id) ?? this.#add(id, -1, { pid: id, threads: [], table: new Descriptors() })
    if (task.made < 0) this.#wrong(`unmade ${id}`, index, `task ${id} is used before it is made`)
    else if (task.ended !== undefined)
      this.#wrong(`ended ${id}`, index, `task ${id} is used after it ended`, `it ended in step ${task.ended + 1}`)
    return task
  }

  #add(id: number, made: number, process: Process): Task {
    const task: Task = { id, process, made, ended: undefined, stated: undefined }
    this.#tasks.set(id, task)
    process.threads.push(task)
    return task
  }

  #spawn({ actor, task: id, spawn }: Step & SpawnStep, index: number): void {
    const before = this.#tasks.get(id)
    if (before !== undefined && before.made >= 0) {
      const why = `it was made in step ${before.made + 1}, and an id is given only once`
      return this.#wrong(`double ${id}`, index, `task ${id} is made a second time`, why)
    }
    if (!Number.isInteger(id) || id < 1) this.#wrong(`id ${id}`, index, `${id} is no id for a task`)
    else if (this.#host.pidTaken(id)) this.#findings.addTaken(id, this.#host.nameOf(id), index)
    if (spawn.kind === 'root') {
      const { root } = this.#program
      if (actor !== HOST) this.#wrong(`maker ${id}`, index, `the root ${id} is made by task ${actor}`)
      if (this.#root !== undefined) this.#wrong(`roots ${id}`, index, `a second root ${id} is made`)
      else if (id !== root) this.#wrong(`roots ${id}`, index, `the root is made as ${id} and not as ${root}`)
      this.#root = id
      return this.#addProcess(id, index, undefined)
    }
    if (actor === HOST) {
      this.#wrong(`maker ${id}`, index, `task ${id} is made by the coordinator, which makes the root alone`)
      return this.#addProcess(id, index, undefined)
    }
    const maker = this.#actor(actor, index).process
    if (spawn.kind === 'thread') {
      if (maker.pid !== spawn.process)
        this.#wrong(`process ${id}`, index, `thread ${id} of process ${spawn.process} is made in process ${maker.pid}`)
      this.#add(id, index, maker)
      return
    }
    this.#addProcess(id, index, maker.table, (spawn.flags & CLONE_FILES) !== 0)
  }

  /** A process has a table of its own: empty, or a copy of another's; or it shares the other's. */
  #addProcess(id: number, index: number, other: Descriptors | undefined, shares = false): void {
    // One that was used before this keeps what was said of it: one error is told, not all that would follow from it.
    const early = this.#tasks.get(id)?.process.table
    const table = shares && other !== undefined ? other : (early ?? new Descriptors(other))
    this.#add(id, index, { pid: id, threads: [], table })
  }

  #end({ actor, reap }: Step & EndStep, index: number): void {
    const { process } = this.#actor(actor, index)
    if (process.pid !== actor)
      this.#wrong(`end ${actor}`, index, `thread ${actor} is ended, which would end all of process ${process.pid}`)
    for (const thread of process.threads) thread.ended ??= index
    if (reap !== undefined) this.#actor(reap, index)
  }

  // ---- slots

  #make(slot: Slot, actor: Actor, table: Descriptors | undefined, index: number, number?: number): void {
    const { id } = slot
    if (slot.actor !== actor)
      this.#wrong(`owner ${id}`, index, `slot $${id} of ${nameOf(slot.actor)} is made by ${nameOf(actor)}`)
    if (this.#slots.has(id)) this.#wrong(`remade ${id}`, index, `slot $${id} is made a second time`)
    this.#slots.set(id, { table, number, closed: undefined })
    if (slot.kind === 'fd' && table !== undefined && number === undefined) table.loose++
  }

  /** A slot is used by the task, or without one by the coordinator. */
  #use(slot: Slot, task: Task | undefined, index: number): void {
    const { id } = slot
    const made = this.#slots.get(id)
    if (made === undefined) return this.#wrong(`unmade $${id}`, index, `slot $${id} is used before it is made`)
    if (made.closed !== undefined)
      this.#wrong(`closed ${id}`, index, `slot $${id} is used after it was closed`, `by step ${made.closed + 1}`)
    const table = task?.process.table
    // A number that the coordinator knows can be told to any task; what a task has is in that task alone.
    if (made.table === table || (made.table === undefined && slot.kind === 'value')) return
    const user = task === undefined ? HOST : task.id
    const why = made.table === undefined ? 'it must be passed to the task' : "it is in that task's own table"
    this.#wrong(`foreign ${id} ${user}`, index, `${nameOf(user)} uses slot $${id} of ${nameOf(slot.actor)}`, why)
  }

  // ---- calls

  #call(step: Step & CallStep, index: number): void {
    const { actor, name, args, result } = step
    const task = actor === HOST ? undefined : this.#actor(actor, index)
    if (args.length > ARGUMENTS_MAX) this.#wrong(`many ${index}`, index, `${name} has ${args.length} arguments`)
    for (const argument of args) if (typeof argument === 'object') this.#argument(argument, task, index)
    let number: number | undefined
    if (task !== undefined) {
      const { process } = task
      const objection = objectionTo(name, args, process.pid, tid => this.#tasks.get(tid)?.process === process)
      if (objection !== undefined)
        this.#wrong(`call ${actor} ${name}`, index, `task ${actor} may not call ${name}`, objection)
      number = this.#moveDescriptor(step, process.table, index)
    }
    if (name === 'close') this.#close(args[0], task?.process.table, index)
    else if (name === 'close_range' && task !== undefined) this.#closeRange(args, task.process.table, index)
    this.#make(result, actor, task?.process.table, index, number)
  }

  #argument(argument: Exclude<Argument, number | bigint | string>, task: Task | undefined, index: number): void {
    if (isSlot(argument)) return this.#use(argument, task, index)
    if (argument.kind === 'memory') return this.#memory(argument, task, index)
    const { id } = argument.of
    if (task !== undefined)
      this.#wrong(`path ${id} ${task.id}`, index, `task ${task.id} uses the coordinator's path of slot $${id}`)
    this.#use(argument.of, undefined, index)
  }

  /** dup2 and dup3 put a file at a number that is known: that number. */
  #moveDescriptor({ name, args }: CallStep, table: Descriptors, index: number): number | undefined {
    const number = args[1]
    if ((name !== 'dup2' && name !== 'dup3') || typeof number !== 'number') return undefined
    this.#place(number, table, index)
    return number
  }

  #close(argument: Argument | undefined, table: Descriptors | undefined, index: number): void {
    if (typeof argument === 'number' && table !== undefined) {
      if (argument === this.#program.places.socket) this.#socketClosed(index)
      table.free(argument)
    } else if (typeof argument === 'object' && isSlot(argument)) {
      const made = this.#slots.get(argument.id)
      if (made === undefined || made.closed !== undefined || made.table !== table) return
      made.closed = index
      if (table === undefined) return
      if (made.number !== undefined) table.free(made.number)
      else if (argument.kind === 'fd') table.loose = Math.max(0, table.loose - 1)
    }
  }

  #closeRange([first, last, flags]: readonly Argument[], table: Descriptors, index: number): void {
    if (typeof first !== 'number' || typeof last !== 'number' || flags !== 0) return
    const { socket } = this.#program.places
    if (first <= socket && socket <= last) this.#socketClosed(index)
    table.freeRange(first, last)
  }

  #socketClosed(index: number): void {
    const { socket } = this.#program.places
    this.#wrong(`socket closed ${index}`, index, `descriptor ${socket} is closed, by which files are passed`)
  }

  #load({ actor, from, offset, result }: Step & LoadStep, index: number): void {
    const { id } = from
    if (actor !== HOST || from.actor !== HOST)
      this.#wrong(`load ${id}`, index, `memory &${id} of ${nameOf(from.actor)} is read by ${nameOf(actor)}`)
    if (!this.#used.has(id)) this.#wrong(`unused ${id}`, index, `memory &${id} is read before a call has used it`)
    this.#within(from, offset, 4, index)
    this.#make(result, HOST, undefined, index)
  }

  // ---- memory

  #memory(memory: Memory, task: Task | undefined, index: number): void {
    if (memory.pointers.length > 0) return this.#pointed(memory, task, index, [], new Set())
    this.#one(memory, task, index)
  }

  /** Each memory is looked at once a call, though many may point to it. */
  #pointed(memory: Memory, task: Task | undefined, index: number, path: Memory[], seen: Set<Memory>): void {
    if (path.length === DEPTH_MAX || path.includes(memory))
      return this.#wrong(`deep ${memory.id}`, index, `memory &${memory.id} points to itself, or too deep`)
    if (seen.has(memory)) return
    seen.add(memory)
    this.#one(memory, task, index)
    path.push(memory)
    for (const { offset, memory: inner } of memory.pointers) {
      this.#within(memory, offset, 8, index)
      this.#pointed(inner, task, index, path, seen)
    }
    path.pop()
  }

  #one(memory: Memory, task: Task | undefined, index: number): void {
    const { id, actor, holds } = memory
    if (task === undefined) {
      if (actor === HOST) this.#used.add(id)
      else this.#wrong(`memory ${id} ${HOST}`, index, `${nameOf(HOST)} uses memory &${id} of ${nameOf(actor)}`)
    } else if (actor !== task.id && (actor === HOST || this.#tasks.get(actor)?.process !== task.process))
      this.#wrong(`memory ${id} ${task.id}`, index, `${nameOf(task.id)} uses memory &${id} of ${nameOf(actor)}`)
    for (const { offset, slot } of holds) {
      this.#within(memory, offset, 4, index)
      this.#use(slot, task, index)
    }
  }

  #within({ id, bytes }: Memory, offset: number, size: number, index: number): void {
    if (!Number.isInteger(offset) || offset < 0 || offset + size > bytes.length)
      this.#wrong(`beyond ${id} ${offset}`, index, `memory &${id} of ${bytes.length} bytes has no ${size} at ${offset}`)
  }

  // ---- descriptors

  #pass({ actor, files }: Step & PassStep, index: number): void {
    const { table } = this.#actor(actor, index).process
    const placed = files.reduce((count, { number }) => count + (number === undefined ? 0 : 1), 0)
    if (placed > 0) this.#checkRoom(actor, table, Math.min(placed, PASS_MAX), index)
    for (const { file, number, result } of files) {
      this.#use(file, undefined, index)
      if (number !== undefined) this.#place(number, table, index)
      else if (result !== undefined) this.#make(result, actor, table, index)
      else table.loose++
    }
  }

  /** Files arrive at the lowest numbers, and are moved on from there: so those must be free (run.ts). */
  #checkRoom(actor: number, table: Descriptors, count: number, index: number): void {
    const { socket } = this.#program.places
    const other = table.loose > 0 ? 'a file that it was lent' : socket < count ? socket : table.lowestBelow(count)
    if (other === undefined) return
    const what = typeof other === 'number' ? `descriptor ${other}` : other
    const why = `what is passed arrives at the ${count} lowest numbers`
    this.#wrong(`room ${index}`, index, `files cannot be placed in task ${actor}: ${what} is in the way`, why)
  }

  #place(number: number, table: Descriptors, index: number): void {
    const key = `placed ${index} ${number}`
    if (!Number.isInteger(number) || number < 0 || number > FD_MAX)
      return this.#wrong(key, index, `${number} is no number of a descriptor`)
    if (number === this.#program.places.socket)
      this.#wrong(`socket ${index}`, index, `a file is placed on ${number}, the descriptor by which files are passed`)
    const before = table.at(number)
    if (before !== undefined)
      this.#wrong(key, index, `two files are placed on descriptor ${number}`, `the other by step ${before + 1}`)
    table.place(number, index)
  }

  // ---- bulk memory

  #runs(runs: readonly Run[], index: number, ofPages: boolean): void {
    const scratch = this.#program.places.scratch
    const scratchEnd = scratch + this.#program.places.scratchSize
    let end = -1
    let sorted = true
    let odd = false
    for (const { address, length, offset } of runs) {
      const unit = ofPages ? PAGE_SIZE : 1
      if (!isWhole(address, unit) || !isWhole(length, unit) || length === 0 || !isWhole(offset, 1)) odd = true
      if (ofPages && address < scratchEnd && address + length > scratch)
        this.#wrong(`scratch ${index}`, index, 'pages are written over the memory that the restore itself uses')
      if (address < end) sorted = false
      end = address + length
    }
    if (runs.length === 0) this.#wrong(`runs ${index}`, index, 'there is nothing to write')
    if (odd) this.#wrong(`odd ${index}`, index, `a run is of no whole ${ofPages ? 'pages' : 'bytes'}`)
    if (sorted) return
    const inOrder = runs.toSorted((a, b) => a.address - b.address)
    for (let next = 1; next < inOrder.length; next++) {
      const [one, other] = [inOrder[next - 1]!, inOrder[next]!]
      if (one.address + one.length > other.address)
        return this.#wrong(`overlap ${index}`, index, `two runs write to one place, 0x${other.address.toString(16)}`)
    }
  }

  // ---- acts of the coordinator

  #act({ act }: Step & HostStep, index: number): void {
    switch (act.name) {
      case 'shared_memory':
        if (!isWhole(act.bytes, 1) || act.bytes === 0)
          this.#wrong(`shared ${index}`, index, `shared memory of ${act.bytes} bytes`)
        return this.#make(act.result, HOST, undefined, index)
      case 'copy':
        this.#use(act.from, undefined, index)
        this.#use(act.to, undefined, index)
        return this.#runs(act.runs, index, false)
      case 'take':
        this.#use(act.file, this.#actor(act.task, index), index)
        return this.#make(act.result, HOST, undefined, index)
      case 'poke':
        return void this.#actor(act.task, index)
      case 'thread_area':
        return void this.#actor(act.thread, index)
      case 'state': {
        const task = this.#actor(act.thread, index)
        if (task.stated !== undefined)
          this.#wrong(`state ${task.id}`, index, `thread ${task.id} has a state already`, `of step ${task.stated + 1}`)
        task.stated ??= index
      }
    }
  }
}

const nameOf = (actor: Actor): string => (actor === HOST ? 'the coordinator' : `task ${actor}`)
/** Whether it is a whole number of units, zero among them, that a double holds exactly. */
const isWhole = (value: number, unit: number): boolean =>
  Number.isSafeInteger(value) && value >= 0 && value % unit === 0
