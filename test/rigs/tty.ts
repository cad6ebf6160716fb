// For the tests of this room: dumps descriptors of our own, and makes the calls of a restore at once.
import { closeSync, mkdtempSync, openSync, readlinkSync, rmSync } from 'node:fs'
import { BardoError } from '../../src/base/errors.ts'
import {
  externalKey,
  type DumpOptions,
  type External,
  type Inherited,
  type RestoreOptions,
} from '../../src/base/options.ts'
import { ImageDirectory } from '../../src/image/directory.ts'
import { fd_types } from '../../src/image/messages/files.ts'
import type { tty_file_entry } from '../../src/image/messages/tty.ts'
import { ImageWriter } from '../../src/image/writer.ts'
import {
  AT_EMPTY_PATH,
  F_DUPFD_CLOEXEC,
  F_GETFL,
  O_CLOEXEC,
  O_NOCTTY,
  O_RDWR,
  TIOCGPTPEER,
  TIOCSPTLCK,
} from '../../src/linux/constants.ts'
import { Arena, syscall } from '../../src/linux/ffi.ts'
import { NR, type CallName } from '../../src/linux/nr.ts'
import { must, refusal, scratch, statOf, sys } from '../../src/linux/sys.ts'
import { HOST, isSlot, type Argument, type Memory, type Phase, type Slot } from '../../src/program/program.ts'
import type { Build, FileView, Maker, TaskBuild, TaskSession } from '../../src/kinds/kind.ts'
import { tty } from '../../src/kinds/tty/index.ts'
import { int } from '../../src/kinds/tty/refill.ts'

const fown = { uid: 0, euid: 0, signum: 0, pid_type: 0, pid: 0 }

function notOfTerminals(): never {
  throw new Error('no terminal needs this')
}

export const ioctl = (fd: number, request: number, argument: number | Uint8Array = 0): number =>
  sys('ioctl', fd, request, argument)
export const write = (fd: number, text: string | Uint8Array): number => {
  const bytes = typeof text === 'string' ? Buffer.from(text, 'latin1') : text
  return sys('write', fd, bytes, bytes.length)
}

/** What is read, as latin1; `-errno` if nothing can be. */
export function read(fd: number, length = 65536): string | number {
  const mark = scratch.mark()
  const at = scratch.take(length)
  const got = sys('read', fd, at, length)
  const text = got < 0 ? got : Buffer.from(scratch.at(at, got)).toString('latin1')
  scratch.release(mark)
  return text
}

/** An unlocked pair: a master that blocks, and a slave that does not. */
export function newPair(path = '/dev/ptmx'): { master: number; slave: number } {
  const master = must('openat', -100, path, O_RDWR | O_NOCTTY | O_CLOEXEC)
  must('ioctl', master, TIOCSPTLCK, int(0))
  return { master, slave: must('ioctl', master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC | 0o4000) }
}

export type World = {
  readonly externals?: readonly External[]
  readonly inherited?: readonly { fd: number; resource: External }[]
  readonly shellJob?: boolean
  readonly sessions?: readonly TaskSession[]
  readonly leaders?: readonly number[]
}

export class Rig {
  readonly place = mkdtempSync('/tmp/bardo-tty-')
  readonly #fd = openSync(this.place, 'r')
  readonly writer = new ImageWriter(this.#fd)
  readonly files = new Map<number, { type: string; state: unknown }>()
  readonly #ends: (() => void)[] = []
  readonly #kept: number[] = []
  readonly #shared = new Map<string, unknown>()
  #lastId = 0

  get images(): ImageDirectory {
    return new ImageDirectory(this.#fd)
  }

  /** Dumps descriptors, and closes them: they are the tree's. The ids of their files. */
  dump(fds: readonly number[], world: World = {}, close = true): number[] {
    const ids = fds.map(fd => this.#dumpOne(fd, world))
    for (const save of this.#ends) save()
    for (const fd of this.#kept) syscall(NR.close, fd)
    this.writer.finish()
    if (close) for (const fd of fds) syscall(NR.close, fd)
    return ids
  }

  #dumpOne(fd: number, world: World): number {
    const id = ++this.#lastId
    const view = this.#view(fd, id, world)
    const state = { ...tty.dump(view), id, flags: view.flags, fown } as tty_file_entry
    this.files.set(id, { type: 'TTY', state })
    this.writer.add('FILES', [], { type: fd_types.TTY, id, tty: state })
    return id
  }

  #view(fd: number, id: number, { externals = [], shellJob = false, sessions = [], leaders = [] }: World): FileView {
    const stat = statOf(fd, '', AT_EMPTY_PATH)
    if (typeof stat === 'number') throw refusal('newfstatat', stat)
    const link = readlinkSync(`/proc/self/fd/${fd}`)
    const options = { externals, shellJob } as unknown as DumpOptions
    const keys = externals.map(externalKey)
    return {
      ours: fd,
      stat,
      link,
      flags: must('fcntl', fd, F_GETFL),
      id,
      options,
      shellJob,
      sessions,
      images: this.writer,
      fdinfo: undefined as never,
      isExternal: external => keys.includes(externalKey(external)),
      hasSession: sid => leaders.includes(sid),
      saveName: () => {
        const regId = ++this.#lastId
        const reg = { id: regId, flags: 0, pos: 0n, fown, name: link, mode: stat.mode, build_id: [] }
        this.files.set(regId, { type: 'REG', state: reg })
        this.writer.add('FILES', [], { type: fd_types.REG, id: regId, reg })
        return regId
      },
      once: <T>(key: string, save: () => T): T => {
        if (!this.#shared.has(key)) this.#shared.set(key, save())
        return this.#shared.get(key) as T
      },
      keep: () => {
        const copy = must('fcntl', fd, F_DUPFD_CLOEXEC, 0)
        this.#kept.push(copy)
        return copy
      },
      atEnd: save => void this.#ends.push(save),
      tables: [process.pid],
      fileAt: () => undefined,
      saveMemory: () => notOfTerminals(),
      refuse: (limit, detail) => {
        throw new BardoError('unsupported', `cannot dump the file: ${limit.says}${detail ?? ''}`, {
          why: limit.why,
          hint: limit.hint,
        })
      },
    }
  }

  /** Restores files; their descriptors. */
  restore(ids: readonly number[], world: World = {}): number[] {
    const build = new Immediate(this, world)
    const slots = ids.map(id => tty.restore(this.files.get(id)!.state as never, build))
    build.finish(slots)
    return slots.map(slot => build.numberOf(slot))
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd)
    rmSync(this.place, { recursive: true, force: true })
  }
}

const PHASES: readonly Phase[] = ['files', 'terminals', 'descriptors', 'go']

/** What leaders of sessions would do, in order. */
export const saidToTasks: string[] = []

/** Makes the calls of a restore when they are said, or when their phase comes. */
class Immediate implements Build {
  readonly options: RestoreOptions
  readonly inheritedAll: readonly Inherited[]
  readonly images: ImageDirectory
  readonly #rig: Rig
  readonly #leaders: readonly number[]
  readonly #arena = new Arena(1 << 20)
  readonly #numbers = new Map<number, number>()
  readonly #made = new Map<string, unknown>()
  readonly #late: { phase: Phase; say: (at: Build) => void }[] = []
  #next = 1

  constructor(rig: Rig, { inherited = [], shellJob = false, leaders = [] }: World) {
    this.#rig = rig
    this.images = rig.images
    this.#leaders = leaders
    this.inheritedAll = inherited.map(one => ({ ...one, key: externalKey(one.resource) }))
    this.options = { shellJob, inherited: this.inheritedAll, root: undefined } as unknown as RestoreOptions
    saidToTasks.length = 0
  }

  numberOf(slot: Slot): number {
    return this.#numbers.get(slot.id) ?? -1
  }

  #word(argument: Argument): number | bigint | string {
    if (typeof argument !== 'object') return argument
    if (isSlot(argument)) return this.numberOf(argument)
    if (argument.kind === 'fd-path') return `/proc/self/fd/${this.numberOf(argument.of)}`
    const at = this.#arena.put(argument.bytes)
    for (const { offset, slot } of argument.holds)
      this.#arena.view.setInt32(at + offset - this.#arena.address, this.numberOf(slot), true)
    return at
  }

  #make<K extends 'fd' | 'value'>(
    kind: K,
    accept: readonly number[],
    name: CallName,
    args: readonly Argument[],
  ): Slot<K> {
    const mark = this.#arena.mark()
    const words = args.map(argument => this.#word(argument))
    const result = sys(name, ...(words as []))
    this.#arena.release(mark)
    if (result < 0 && !accept.includes(-result)) throw refusal(name, result, ...words)
    const slot: Slot<K> = { kind, id: this.#next++, actor: HOST }
    this.#numbers.set(slot.id, result)
    if (kind === 'fd') this.#opened.push(slot as Slot<'fd'>)
    return slot
  }

  readonly #opened: Slot<'fd'>[] = []

  call(name: CallName, ...args: Argument[]): Slot<'value'> {
    return this.#make('value', [], name, args)
  }

  attempt(accept: readonly number[], name: CallName, ...args: Argument[]): Slot<'value'> {
    return this.#make('value', accept, name, args)
  }

  open(name: CallName, ...args: Argument[]): Slot<'fd'> {
    return this.#make('fd', [], name, args)
  }

  loadFile(): Slot<'fd'> {
    throw new Error('no terminal loads a file')
  }

  memory(content: Uint8Array | number, holds: Memory['holds'] = []): Memory {
    const bytes = typeof content === 'number' ? new Uint8Array(content) : content
    return { kind: 'memory', id: this.#next++, actor: HOST, bytes, holds, pointers: [] }
  }

  get<K extends string | number, V>(maker: Maker<K, V>, key: K): V {
    const name = `${maker.name} ${key}`
    if (!this.#made.has(name)) this.#made.set(name, maker.make(key, this))
    return this.#made.get(name) as V
  }

  inherited(): undefined {
    return undefined
  }

  fileState(id: number): { readonly type: string; readonly state: unknown } | undefined {
    return this.#rig.files.get(id)
  }

  readonly beside = notOfTerminals
  readonly withNumbers = notOfTerminals
  readonly sharedMemory = notOfTerminals
  readonly fillMemory = notOfTerminals

  file(): Slot<'fd'> {
    throw new Error('no terminal needs another file')
  }

  later(phase: Phase, say: (at: Build) => void): void {
    this.#late.push({ phase, say })
  }

  #task(sid: number): TaskBuild {
    const said = (name: CallName, args: readonly Argument[]): Slot<'value'> => {
      saidToTasks.push(`${sid}: ${name}(${args.map(one => (typeof one === 'object' ? one.kind : one)).join(', ')})`)
      return { kind: 'value', id: 0, actor: sid }
    }
    return {
      call: (name, ...args) => said(name, args),
      attempt: (_, name, ...args) => said(name, args),
      memory: content => this.memory(content),
      borrow: file => file,
    }
  }

  inTask(pid: number, _phase: Phase, say: (at: TaskBuild) => void): void {
    say(this.#task(pid))
  }

  asLeader(sid: number, say: (at: TaskBuild) => void): void {
    say(this.#task(sid))
  }

  openInTask(pid: number, _phase: Phase, name: CallName, ...args: Argument[]): Slot<'fd'> {
    this.#task(pid).call(name, ...args)
    return { kind: 'fd', id: 0, actor: HOST }
  }

  hasTask(pid: number): boolean {
    return this.#leaders.includes(pid)
  }

  refuse(finding: BardoError): void {
    throw finding
  }

  /** Makes what was said for later, then closes what is nobody's, as the runner does after a last use. */
  finish(returned: readonly Slot<'fd'>[]): void {
    for (const phase of PHASES) for (const one of this.#late.filter(late => late.phase === phase)) one.say(this)
    const kept = new Set(returned.map(slot => slot.id))
    for (const slot of this.#opened) if (!kept.has(slot.id)) syscall(NR.close, this.numberOf(slot))
  }
}
