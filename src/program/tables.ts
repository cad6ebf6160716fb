// Calls of tasks and files for them, gathered: a stop of a task costs more than dozens of calls, so each task makes as
// many as can be in one. A call is made at the latest when somebody needs to know that it was.
import { BardoError } from '../base/errors.ts'
import { ENTRY_SIZE } from '../linux/arch/x86-64.ts'
import { syscall, type Word } from '../linux/ffi.ts'
import { NR } from '../linux/nr.ts'
import { refusal } from '../linux/sys.ts'
import { bytesOf } from '../base/bytes.ts'
import type { Remote } from '../tracee/remote.ts'
import type { Thread } from '../tracee/stopped.ts'
import { TABLE_SIZE, type Table } from '../tracee/table.ts'
import { gathersIn, type Gathered, type PassSocket, type Placed } from './pass.ts'
import { isSlot, type Argument, type CallStep, type Memory, type Phase, type Slot, type Step } from './program.ts'

/** A task that was made: one thread, and the process that it is of. */
export type Made = { readonly thread: Thread; readonly remote: Remote; readonly pid: number }

/**
 * Phases in which no task waits for another's calls. Threads of one process do, from one phase to the next: what one
 * gives up in one is needed by another in the phase before. Timers are not among them: they run from the moment they are
 * set, so that all else is done before in the whole tree.
 */
const INDEPENDENT: ReadonlySet<Phase> = new Set([
  'descriptors',
  'memory',
  'signals',
  'seccomp',
  'credentials',
  'pending',
  'limits',
  'go',
])

/** A call, some memory, and the call that ends a table. */
const CALL_SIZE = 128 + ENTRY_SIZE

type Item =
  | { readonly do: 'call'; readonly step: Step & CallStep }
  | { readonly do: 'place'; readonly files: readonly Placed[] }
  | { readonly do: 'close'; readonly fd: number }

/** What threads of one process have to do, in any order among them, each in its own. */
type Round = { readonly phase: Phase; readonly items: Map<Made, Item[]> }

/** The slots of a running program: their values, and whether any step but their maker uses them. */
export type Slots = {
  value(slot: Slot): number
  set(slot: Slot, value: number): void
  isUsed(slot: Slot): boolean
}

export class TaskTables {
  readonly #slots: Slots
  readonly #socket: PassSocket
  /** What waits, for each process the rounds in their order. */
  readonly #waiting = new Map<number, Round[]>()
  /** The only task with anything that waits, while that is of a phase in which others wait for it. */
  #alone: Made | undefined
  /** Slots of calls that wait, of those that somebody will use. */
  readonly #awaited = new Set<number>()
  readonly #closing: number[] = []

  constructor(slots: Slots, socket: PassSocket) {
    this.#slots = slots
    this.#socket = socket
  }

  /** Adds a call of a task. */
  call(step: Step & CallStep, made: Made): void {
    if (this.#awaited.size > 0 && step.args.some(argument => this.#awaits(argument))) this.flush()
    this.#add(made, step.for.phase, { do: 'call', step })
    if (this.#slots.isUsed(step.result)) this.#awaited.add(step.result.id)
  }

  /** Adds files of ours that a task gets at these numbers. */
  place(phase: Phase, made: Made, files: readonly Placed[]): void {
    this.#add(made, phase, { do: 'place', files })
  }

  /** Adds the closing of the socket; processes that share their descriptors may have done so already. */
  closeSocket(made: Made): void {
    this.#add(made, 'go', { do: 'close', fd: this.#socket.number })
  }

  /** Closes a descriptor of ours when what was said before has been done. */
  close(fd: number): void {
    if (this.#waiting.size === 0) syscall(NR.close, fd)
    else this.#closing.push(fd)
  }

  #add(made: Made, phase: Phase, item: Item): void {
    if (this.#alone !== undefined && this.#alone !== made) this.flush()
    if (!INDEPENDENT.has(phase)) {
      if (this.#alone === undefined) this.flush()
      this.#alone = made
    }
    let rounds = this.#waiting.get(made.pid)
    if (rounds === undefined) this.#waiting.set(made.pid, (rounds = []))
    let round = rounds.at(-1)
    // A thread goes on alone as long as none of the others has anything to do in an earlier phase.
    if (round === undefined || (round.phase !== phase && (round.items.size > 1 || !round.items.has(made))))
      rounds.push((round = { phase, items: new Map() }))
    const items = round.items.get(made)
    if (items === undefined) round.items.set(made, [item])
    else items.push(item)
  }

  /** Whether an argument is what a call that waits will answer. */
  #awaits(argument: Argument): boolean {
    if (typeof argument !== 'object' || argument.kind === 'fd-path') return false
    return isSlot(argument)
      ? this.#awaited.has(argument.id)
      : argument.holds.some(({ slot }) => this.#awaited.has(slot.id))
  }

  /** Has everything done that waits, one task after the other. Throws what the first that failed has met. */
  flush(): void {
    if (this.#waiting.size === 0) return
    const all = [...this.#waiting.values()]
    this.#waiting.clear()
    this.#alone = undefined
    this.#awaited.clear()
    try {
      for (const rounds of all)
        for (const { items } of rounds) for (const [made, list] of items) this.#runAll(made, list)
    } finally {
      for (const fd of this.#closing) syscall(NR.close, fd)
      this.#closing.length = 0
    }
  }

  /** One task's, in as few tables as hold it. */
  #runAll(made: Made, items: readonly Item[]): void {
    for (let from = 0; from < items.length;) {
      const first = items[from]!
      if (first.do === 'place' && gathersIn(first.files) === undefined) {
        this.#socket.place(made, first.files)
        from++
        continue
      }
      // A call with much memory, a filter or a list of groups, gets all the room that there is.
      using table =
        sizeOf(first)! < TABLE_SIZE / 2
          ? made.remote.table(made.thread)
          : made.remote.table(made.thread, made.remote.start, made.remote.end)
      let to = from
      const filling: Filling = { calls: [], files: [], answers: false }
      while (to < items.length && this.#put(items[to]!, table, filling)) to++
      if (to === from)
        throw new BardoError('bug', `a call of task ${made.thread.tid} does not fit into its scratch memory`)
      this.#run(made, table, filling)
      from = to
    }
  }

  /** Puts an item into a table; false if there is no room for it. */
  #put(item: Item, table: Table, filling: Filling): boolean {
    const need = sizeOf(item)
    if (need === undefined || table.free < need) return false
    if (item.do === 'close') table.call('close', [item.fd], { mayFail: true })
    else if (item.do === 'place') filling.files.push(this.#socket.gather(table, item.files))
    else {
      const { step } = item
      const words = step.args.map(argument => this.#word(argument, table))
      const index = table.call(step.name, words, { mayFail: step.accept.length > 0 })
      filling.calls.push({ step, index })
      filling.answers ||= this.#slots.isUsed(step.result)
    }
    return true
  }

  #word(argument: Argument, table: Table): Word {
    if (typeof argument === 'number' || typeof argument === 'bigint') return argument
    if (typeof argument === 'string') {
      const bytes = bytesOf(argument)
      const text = new Uint8Array(bytes.length + 1)
      text.set(bytes)
      return table.put(text)
    }
    if (isSlot(argument)) return this.#slots.value(argument)
    if (argument.kind === 'fd-path')
      throw new BardoError('bug', 'a path of our own descriptors means nothing in a task')
    const put = (memory: Memory): number => table.put(filled(memory, this.#slots, put))
    return put(argument)
  }

  #run(made: Made, table: Table, { calls, files, answers }: Filling): void {
    // All tasks read from one socket: what is sent is there for the one that runs next.
    for (const { send } of files) send()
    let failure: unknown
    if (!answers) {
      if (table.runUnread()) return
      failure = new BardoError('bug', `a table of task ${made.thread.tid} did not come to its end`)
    } else {
      table.start()
      try {
        table.finish()
      } catch (error) {
        failure = error
      }
    }
    for (const { check } of files) check()
    for (const { step, index } of calls) {
      const result = table.result(index)
      const failed = result < 0 && result >= -4095
      // The failing call is told by its own purpose, not by that of the step that made it be run.
      if (failed && !step.accept.includes(-result)) throw taskRefusal(step, result, made)
      this.#slots.set(step.result, failed ? -1 : result)
    }
    if (failure !== undefined) throw failure
  }
}

/** What a table has been given. */
type Filling = {
  readonly calls: { readonly step: Step & CallStep; readonly index: number }[]
  readonly files: Gathered[]
  /** Whether a later step uses a result. */
  answers: boolean
}

/** The room in a table that an item takes at most; undefined for one that cannot be in a table with others. */
function sizeOf(item: Item): number | undefined {
  if (item.do === 'close') return CALL_SIZE
  if (item.do === 'place') return gathersIn(item.files)
  let sum = CALL_SIZE
  for (const argument of item.step.args) {
    if (typeof argument === 'string') sum += argument.length * 3 + 16
    else if (typeof argument === 'object' && argument.kind === 'memory') {
      sum += argument.bytes.length + 16
      for (const { memory } of argument.pointers) sum += memory.bytes.length + 16
    }
  }
  return sum
}

/** The bytes of a memory with what belongs into them: numbers of slots, and addresses of other memories. */
export function filled(memory: Memory, slots: Slots, addressOf: (inner: Memory) => number): Uint8Array {
  if (memory.holds.length === 0 && memory.pointers.length === 0) return memory.bytes
  const bytes = memory.bytes.slice()
  const view = new DataView(bytes.buffer)
  for (const { offset, slot } of memory.holds) view.setInt32(offset, slots.value(slot), true)
  for (const { offset, memory: inner } of memory.pointers) view.setBigUint64(offset, BigInt(addressOf(inner)), true)
  return bytes
}

function taskRefusal(step: Step & CallStep, result: number, { thread }: Made): BardoError {
  return refusal(step.name, result, ...shownArguments(step.args)).about(
    `task ${thread.tid}, ${step.for.what}; phase ${step.for.phase}`,
  )
}

/** Arguments as an error shows them. */
export const shownArguments = (args: readonly Argument[]): (number | bigint | string)[] =>
  args.map(argument =>
    typeof argument !== 'object'
      ? argument
      : isSlot(argument)
        ? `$${argument.id}`
        : argument.kind === 'fd-path'
          ? `fd $${argument.of.id}`
          : `${argument.bytes.length} bytes`,
  )
