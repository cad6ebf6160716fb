// A restore as data: a list of steps, with slots for what is not known before they run.
// It is built by the kinds and the recipe, verified and printed without touching anything, and then run.
import type { CallName } from '../linux/nr.ts'

/** Who makes a call: the coordinator, or the thread with this id in the image (a process's id is its leader's). */
export type Actor = 'host' | number
export const HOST = 'host' as const

/** The named phases of a restore, in their order (restore/order.ts says why). */
export type Phase =
  | 'files'
  | 'tasks'
  | 'groups'
  | 'zombies'
  | 'terminals'
  | 'descriptors'
  | 'memory'
  | 'threads'
  | 'signals'
  | 'seccomp'
  | 'credentials'
  | 'pending'
  | 'timers'
  | 'limits'
  | 'go'

export type SlotKind = 'fd' | 'value'

/**
 * A thing that a step makes, named before it exists. An fd slot stands for an open file of `actor`, wherever its number
 * is at the time; those of the host that nobody uses any more are closed by the runner.
 */
export type Slot<K extends SlotKind = SlotKind> = { readonly kind: K; readonly id: number; readonly actor: Actor }

/** Memory that a call reads or the kernel writes; the runner puts it where its actor can reach it. */
export type Memory = {
  readonly kind: 'memory'
  readonly id: number
  readonly actor: Actor
  /** What it holds at first. */
  readonly bytes: Uint8Array
  /** Slots whose numbers belong into `bytes` when the call is made: 32 bits each. */
  readonly holds: readonly { readonly offset: number; readonly slot: Slot }[]
  /** Other memories of the same actor, whose addresses belong into `bytes`: 64 bits each. */
  readonly pointers: readonly { readonly offset: number; readonly memory: Memory }[]
}

/** The path /proc/self/fd/N of an open file, by which it is opened anew. */
export type FdPath = { readonly kind: 'fd-path'; readonly of: Slot<'fd'> }

/** A string is the NUL-terminated bytes of a path (base/bytes.ts). */
export type Argument = number | bigint | string | Slot | Memory | FdPath

/** What a step is for: in its error, and behind # in the printed program. */
export type Purpose = { readonly what: string; readonly phase: Phase }

export type Step = { readonly for: Purpose } & (
  | CallStep
  | LoadStep
  | FillStep
  | PassStep
  | SpawnStep
  | EndStep
  | HostStep
)

/** A system call. The slot holds its result; -1 where its error is one of `accept`. */
export type CallStep = {
  readonly do: 'call'
  readonly actor: Actor
  readonly name: CallName
  readonly args: readonly Argument[]
  readonly result: Slot
  /** errno values that are as good as success. */
  readonly accept: readonly number[]
}

/** Takes a 32-bit value that the kernel wrote into memory of the host. */
export type LoadStep = {
  readonly do: 'load'
  readonly actor: Actor
  readonly from: Memory
  readonly offset: number
  readonly result: Slot
}

/** Fills memory of a task from a file of pages. Addresses, lengths and offsets in bytes. */
export type FillStep = {
  readonly do: 'fill'
  readonly actor: number
  readonly file: Slot<'fd'>
  readonly runs: readonly Run[]
}
export type Run = { readonly address: number; readonly length: number; readonly offset: number }

/** Gives open files of the host to a task, at these numbers; without a number at any, told in `result`. */
export type PassStep = { readonly do: 'pass'; readonly actor: number; readonly files: readonly Passed[] }
export type Passed = {
  readonly file: Slot<'fd'>
  readonly number: number | undefined
  readonly cloexec: boolean
  readonly result?: Slot<'fd'>
}

/** Makes a process or a thread; it is stopped before its first instruction. */
export type SpawnStep = { readonly do: 'spawn'; readonly actor: Actor; readonly task: number; readonly spawn: Spawn }
export type Spawn =
  | { readonly kind: 'root'; readonly sibling: boolean }
  | { readonly kind: 'child'; readonly flags: number }
  | { readonly kind: 'thread'; readonly process: number }

/** Ends a task with a wait status. Its parent finds a zombie, or with `reap` waits for it at once. */
export type EndStep = {
  readonly do: 'end'
  readonly actor: number
  readonly status: number
  readonly reap: number | undefined
}

/** What only the coordinator can do, by name and data. */
export type HostStep = { readonly do: 'host'; readonly act: HostAct }
export type HostAct =
  /** Anonymous shared memory, as an open file. */
  | { readonly name: 'shared_memory'; readonly bytes: number; readonly result: Slot<'fd'> }
  /** Copies from file to file, in the kernel. */
  | { readonly name: 'copy'; readonly from: Slot<'fd'>; readonly to: Slot<'fd'>; readonly runs: readonly Run[] }
  /** Takes a file that a task has opened itself; the task's own descriptor stays. */
  | { readonly name: 'take'; readonly task: number; readonly file: Slot<'fd'>; readonly result: Slot<'fd'> }
  /** Writes into memory of a task, whatever its protection. */
  | { readonly name: 'poke'; readonly task: number; readonly address: number; readonly bytes: Uint8Array }
  /** The state with which a thread goes on. */
  | ThreadState
  | { readonly name: 'thread_area'; readonly thread: number; readonly entry: number; readonly desc: Uint8Array }

export type ThreadState = {
  readonly name: 'state'
  readonly thread: number
  readonly registers: BigUint64Array
  readonly xstate: Uint8Array
  readonly sigmask: bigint
  /** The timed call to take up again, with what was left of its time where that is known. */
  readonly timed: { readonly nr: number; readonly left_ns: bigint | undefined } | undefined
  /** The signal whose stop the process was in, or 0; in its leader's state. */
  readonly stopped: number
  /** Where the process has its vdso; in its leader's state. */
  readonly vdso?: number | undefined
}

/** Where the restore's own things are in every task's memory: nothing of any task is there. */
export type Places = {
  readonly scratch: number
  readonly scratchSize: number
  /** Where vvar and vdso lie until they are moved. */
  readonly park: number
  /** The number of the socket in every task, which is no task's own. */
  readonly socket: number
}

/** The whole program, in order. */
export type Program = { readonly steps: readonly Step[]; readonly places: Places; readonly root: number }

export const isSlot = (argument: Argument): argument is Slot =>
  typeof argument === 'object' && (argument.kind === 'fd' || argument.kind === 'value')
