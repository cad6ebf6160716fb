// What a kind of open file is to the core: one object with a way to recognise it, its schema, what it does not carry
// over, and its two halves. Views and builders are types here and are implemented above (dump/files.ts,
// restore/build.ts): a room imports nothing above itself.
//
// A kind never sees descriptor numbers, dup and CLOEXEC, sharing between tasks, owner and signal (F_SETOWN), status
// flags once the file is open, logging or image files: the core does those once, for all of them.
import type { Fdinfo } from '../linux/proc/fdinfo.ts'
import type { CallName } from '../linux/nr.ts'
import type { Stat } from '../linux/sys.ts'
import type { Fields, Message, State } from '../image/words.ts'
import type { ImageDirectory } from '../image/directory.ts'
import type { ImageWriter } from '../image/writer.ts'
import type { BardoError } from '../base/errors.ts'
import type { DumpOptions, External, Inherited, RestoreOptions } from '../base/options.ts'
import type { Argument, Memory, Phase, Slot } from '../program/program.ts'

export type { Phase } from '../program/program.ts'

/** Something that is not carried over: refused by name when met, and listed in docs/limits.md. */
export type Limit = {
  /** Short and stable: `pipe-packet-mode`. */
  readonly id: string
  /** What is not supported, as the error says it: `packet mode (O_DIRECT) is not supported`. */
  readonly says: string
  readonly why?: string
  readonly hint?: string
}

/** Something that is not carried over and refused by nobody, since it cannot be known or is of no use elsewhere. */
export type Loss = {
  readonly what: string
  /** What becomes of it, and how it is told. */
  readonly how: string
}

/** How a kind is recognised. The first kind of the registry that matches is it. */
export type Match = {
  /** S_IFMT bits of st_mode. */
  readonly mode?: readonly number[]
  /** Major numbers of st_rdev, for devices that are kinds of their own. */
  readonly majors?: readonly number[]
  /** What the link of /proc/PID/fd/N begins with: `pipe:[`, `anon_inode:[timerfd]`. */
  readonly link?: string
  /** Whether no directory names it. */
  readonly nameless?: true
}

/** A session that tasks of the tree are in, as /proc/PID/stat tells. */
export type TaskSession = {
  readonly sid: number
  /** The controlling terminal's st_rdev, 0 for none. */
  readonly tty_nr: number
  /** Its foreground process group, -1 for none. */
  readonly tpgid: number
}

/** What a kind sees of an open file while it is dumped. It reads, and changes nothing that outlives its reading. */
export interface FileView {
  /** A descriptor of ours for the very same open file description (pidfd_getfd). Not to be closed or repositioned. */
  readonly ours: number
  readonly stat: Stat
  /** The link of /proc/PID/fd/N, lossless. */
  readonly link: string
  /** O_… as F_GETFL tells, without O_CLOEXEC. */
  readonly flags: number
  readonly fdinfo: Fdinfo
  /** The id of this file in the images. */
  readonly id: number
  /** Objects that the caller said stay outside. */
  isExternal(external: External): boolean
  readonly options: DumpOptions
  readonly shellJob: boolean
  /** Sessions of the tree: whether a process of the tree leads session `sid`. */
  hasSession(sid: number): boolean
  /** All sessions that tasks of the tree are in, whoever leads them. */
  readonly sessions: readonly TaskSession[]
  /** Saves the name of this file as a file of kind REG beside it, as CRIU does for ttys and fifos; its id. */
  saveName(): number
  /** Runs `save` once for all files that share `key`, such as the two ends of a pipe; its result is kept. */
  once<T>(key: string, save: () => T): T
  /** A copy of `ours` that stays open until the collection of files has ended, however it ends. */
  keep(): number
  /** Runs `save` when all files of the tree have been seen, in the order of asking; it may refuse this file then. */
  atEnd(save: () => void): void
  /**
   * A process of each table of descriptors, as we see it: the one that this file was met in first, then the others in
   * the order of the tree. Whole when all files have been seen.
   */
  readonly tables: readonly number[]
  /** The id of the file that a process of `tables` has at `fd`, when all files have been seen. */
  fileAt(pid: number, fd: number): number | undefined
  /** Saves the bytes of this memory file as pagemap-shmem-`shmid`.img, later, with the other memory. */
  saveMemory(shmid: number): void
  /** Where entries and data go that are not the file's own message. */
  readonly images: ImageWriter
  /** Refuses the dump of this file, by the name of a limit. */
  refuse(limit: Limit, detail?: string): never
}

/** What a kind's builder makes of shared objects: `at.get(pipe, id)` makes it when first asked for. */
export type Maker<K extends string | number, V> = { readonly name: string; make(key: K, at: Build): V }

/** Says what a restored task shall do itself. */
export interface TaskBuild {
  call(name: CallName, ...args: Argument[]): Slot<'value'>
  /** Like `call`, where these errnos are as good as success. */
  attempt(accept: readonly number[], name: CallName, ...args: Argument[]): Slot<'value'>
  /** Memory for a call; `pointers` are filled with the addresses of other memories when it is placed. */
  memory(content: Uint8Array | number, pointers?: readonly { offset: number; memory: Memory }[]): Memory
  /** Lends the task an open file of ours, for this phase: its number there. */
  borrow(file: Slot<'fd'>): Slot<'fd'>
}

/** What a kind sees while it says how a file is made again. Calls are the coordinator's own, before any process exists. */
export interface Build {
  /** A call whose result is a number, or of no interest. */
  call(name: CallName, ...args: Argument[]): Slot<'value'>
  attempt(accept: readonly number[], name: CallName, ...args: Argument[]): Slot<'value'>
  /** A call whose result is an open file of ours. O_CLOEXEC is the caller's to give: we run other programs. */
  open(name: CallName, ...args: Argument[]): Slot<'fd'>
  /** An open file whose number the kernel writes at `offset` of `memory`, as pipe2 does. */
  loadFile(memory: Memory, offset: number): Slot<'fd'>
  memory(content: Uint8Array | number, holds?: { offset: number; slot: Slot }[]): Memory
  get<K extends string | number, V>(maker: Maker<K, V>, key: K): V
  /** A descriptor that the caller gave for an object outside, or undefined. */
  inherited(external: External): Slot<'fd'> | undefined
  readonly inheritedAll: readonly Inherited[]
  readonly images: ImageDirectory
  /** What the caller asked for: where paths begin, how a file is known to be the same one. */
  readonly options: RestoreOptions
  /** The state of another file of the images, by its id: the name of a tty, kept as a REG file. */
  fileState(id: number): { readonly type: string; readonly state: unknown } | undefined
  /** Makes file `id` as its kind says, once; a tty's companion, what an epoll watches. */
  file(id: number): Slot<'fd'>
  /** The id of the file at number `fd` in the first table that has file `id` somewhere, and something at `fd`. */
  beside(id: number, fd: number): number | undefined
  /**
   * Has the process in whose table file `id` is first make calls while it has these files at these numbers, and no
   * others: for what notes the number, or the process. They are closed again; its own descriptors come later. Throws
   * `bad-image` if no table has the file.
   */
  withNumbers(
    id: number,
    files: readonly { readonly file: Slot<'fd'>; readonly number: number }[],
    say: (at: TaskBuild) => void,
  ): void
  /** Shared memory that has no name, as mmap makes it. */
  sharedMemory(bytes: number): Slot<'fd'>
  /** Fills a file with memory `shmid` of the images, in whole pages; it has nothing beyond `bytes`, rounded up to such. */
  fillMemory(file: Slot<'fd'>, shmid: number | bigint, bytes: number): void
  /** Says more in a later phase: what must wait until the tasks exist. */
  later(phase: Phase, say: (at: Build) => void): void
  /** Says what task `pid` (its id in the image) does in `phase`. */
  inTask(pid: number, phase: Phase, say: (at: TaskBuild) => void): void
  /**
   * Says what task `sid` does as soon as it leads its session, before it has children there: they inherit the controlling
   * terminal at their birth, and in no other way (test/kernel/tty-inherited-at-fork.test.ts). Files are made by then.
   */
  asLeader(sid: number, say: (at: TaskBuild) => void): void
  /**
   * A file that task `pid` opens itself in `phase`, before `descriptors`; then we take it over (pidfd_getfd).
   * `/dev/tty` is another terminal to each session.
   */
  openInTask(pid: number, phase: Phase, name: CallName, ...args: Argument[]): Slot<'fd'>
  /** Whether a task of the tree has this pid. */
  hasTask(pid: number): boolean
  /** Collects a reason why this cannot be restored; found all together, before anything is made. */
  refuse(finding: BardoError): void
}

/** A kind of open file. `C` is what the core fills in itself: id, flags, fown. */
export interface FileKind<F extends Fields = Fields> {
  readonly name: string
  /** Its number in fd_types, and its field in file_entry. */
  readonly type: 'REG' | 'PIPE' | 'FIFO' | 'TTY' | (string & {})
  readonly field: string
  readonly image: Message<F>
  readonly matches: Match
  readonly limits: readonly Limit[]
  readonly losses?: readonly Loss[]
  /** `restore` opens the file with its status flags; for other kinds the core sets them (F_SETFL). */
  readonly opensWithFlags?: true
  /** Its entries stand behind all others in files.img, the one that was met last first: CRIU depends on that order. */
  readonly writtenLast?: true
  dump(view: FileView): Omit<State<Message<F>>, 'id' | 'flags' | 'fown'>
  restore(state: State<Message<F>>, at: Build): Slot<'fd'>
  /** For what is mapped as a file though it has no path: opens it with the flags that a mapping needs. */
  map?(state: State<Message<F>>, flags: number, at: Build): Slot<'fd'>
  /** Numbers of descriptors that `restore` uses, beside those of the tables. */
  numbers?(state: State<Message<F>>): readonly number[]
}

/** Keeps the literal types of a kind, and checks it against the interface. */
export function fileKind<const F extends Fields>(kind: FileKind<F>): FileKind<F> {
  return kind
}
