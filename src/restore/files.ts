// The open files of an image: which descriptors each table has, and how each file is made again, once for all that
// share it. What is the same for all kinds is said here: status flags, owner and signal.
import { BardoError, type Report } from '../base/errors.ts'
import type { RestoreOptions } from '../base/options.ts'
import type { ImageDirectory } from '../image/directory.ts'
import { fd_types, type fdinfo_entry, type file_entry } from '../image/messages/files.ts'
import type { fown_entry } from '../image/messages/fown.ts'
import type { reg_file_entry } from '../image/messages/regular.ts'
import { nameOfValue } from '../image/words.ts'
import { kindOfType, notYetRestored, openNamed } from '../kinds/fd/index.ts'
import type { Build, FileKind } from '../kinds/kind.ts'
import {
  ESRCH,
  FD_CLOEXEC,
  F_OWNER_PGRP,
  F_SETFL,
  F_SETOWN_EX,
  F_SETSIG,
  O_APPEND,
  O_ASYNC,
  O_DIRECT,
  O_NOATIME,
  O_NONBLOCK,
  O_PATH,
} from '../linux/constants.ts'
import { sys } from '../linux/sys.ts'
import { HOST, type Slot } from '../program/program.ts'

/** A descriptor of a table: `fd` is its number in the task, `id` the file's. */
export type Descriptor = { readonly id: number; readonly fd: number; readonly cloexec: boolean }

/** Whose table it is, for messages. */
export type FileHolder = { readonly pid: number; readonly comm: string }

/** What a file's state is made of, for who knows no more than its type by name. */
type FileState = { readonly type: string; readonly state: unknown }
type Known = {
  readonly entry: file_entry
  readonly kind: FileKind | undefined
  readonly state: Record<string, unknown>
}
type Table = {
  /** By rising number. */
  readonly entries: readonly fdinfo_entry[]
  /** The lowest number of each file: asked for each file, of which a table can have a million. */
  readonly lowest: ReadonlyMap<number, number>
  readonly holder: FileHolder | undefined
}

/** What F_SETFL sets (SETFL_MASK of fs/fcntl.c), but O_ASYNC, which waits for the owner. */
const STATUS_FLAGS = O_APPEND | O_NONBLOCK | O_DIRECT | O_NOATIME
const FD_MAX = 0x7fff_ffff
/** Files that need files that need files …: the kernel allows five epolls in each other. */
const NESTED_MAX = 32

/** What a table has at number `fd`. */
function entryAt({ entries }: Table, fd: number): fdinfo_entry | undefined {
  let [low, high] = [0, entries.length]
  while (low < high) {
    const middle = (low + high) >>> 1
    if (entries[middle]!.fd < fd) low = middle + 1
    else high = middle
  }
  const found = entries[low]
  return found?.fd === fd ? found : undefined
}

/** Stands for a file that cannot be restored: the plan goes on, to find what else cannot, and is never run. */
const NOWHERE: Slot<'fd'> = { kind: 'fd', id: 0, actor: HOST }

export class FilePlan {
  readonly images: ImageDirectory
  readonly options: RestoreOptions
  readonly report: Report
  readonly #files = new Map<number, Known>()
  readonly #tables = new Map<number, Table>()
  readonly #made = new Map<number, Slot<'fd'>>()
  readonly #making = new Set<number>()
  readonly #mapped = new Map<string, Slot<'fd'>>()

  constructor(parts: { images: ImageDirectory; options: RestoreOptions; report: Report }) {
    this.images = parts.images
    this.options = parts.options
    this.report = parts.report
    if (!this.images.has('FILES')) return
    this.images.each('FILES', [], ({ entry }) => {
      if (this.#files.has(entry.id)) throw new BardoError('bad-image', `files.img has two files with id ${entry.id}`)
      this.#files.set(entry.id, this.#know(entry))
    })
  }

  #know(entry: file_entry): Known {
    const kind = kindOfType(entry.type)
    const fields = entry as unknown as Record<string, Record<string, unknown> | undefined>
    // What has no kind yet has a state all the same, for those who know it by name: CRIU's shared memory is a memfd.
    const inner =
      kind === undefined ? Object.values(fields).find(value => typeof value === 'object') : fields[kind.field]
    if (kind !== undefined && (inner === undefined || inner['id'] !== entry.id))
      throw new BardoError('bad-image', `file ${entry.id} of type ${kind.type} has no state in files.img, or another's`)
    return { entry, kind, state: inner ?? {} }
  }

  /**
   * The descriptors of a table, by rising number. A holder, where one is given, names the table in messages about its
   * files: ask before `make`.
   */
  descriptors(filesId: number, holder?: FileHolder): Descriptor[] {
    const table = this.#tables.get(filesId) ?? this.#readTable(filesId, holder)
    this.#tables.set(filesId, table)
    return table.entries.map(({ id, fd, flags }) => ({ id, fd, cloexec: (flags & FD_CLOEXEC) !== 0 }))
  }

  #readTable(filesId: number, holder: FileHolder | undefined): Table {
    const entries = this.images.read('FDINFO', filesId).toSorted((a, b) => a.fd - b.fd)
    const lowest = new Map<number, number>()
    for (const [i, { fd, id, type }] of entries.entries()) {
      const known = this.#files.get(id)
      const what =
        fd > FD_MAX
          ? `a descriptor ${fd}, which is none`
          : fd === entries[i - 1]?.fd
            ? `descriptor ${fd} twice`
            : known === undefined
              ? `descriptor ${fd} of file ${id}, which files.img does not have`
              : known.entry.type !== type
                ? `descriptor ${fd} of file ${id} with another type than files.img`
                : undefined
      if (what !== undefined) throw new BardoError('bad-image', `fdinfo-${filesId}.img has ${what}`)
      if (!lowest.has(id)) lowest.set(id, fd)
    }
    return { entries, lowest, holder }
  }

  /** The state of a file by its id. */
  fileState(id: number): FileState | undefined {
    const known = this.#files.get(id)
    if (known === undefined) return undefined
    return { type: nameOfValue(fd_types, known.entry.type) ?? String(known.entry.type), state: known.state }
  }

  /** Says how file `id` is made, once. What stands against it goes to the report; the slot is then no file's. */
  make(id: number, at: Build): Slot<'fd'> {
    const made = this.#made.get(id)
    if (made !== undefined) return made
    if (this.#making.has(id) || this.#making.size >= NESTED_MAX)
      throw new BardoError('bad-image', `files.img has files that need each other, or too many: file ${id}`)
    this.#making.add(id)
    const slot = this.#guard(id, () => this.#restore(id, at)) ?? NOWHERE
    this.#making.delete(id)
    this.#made.set(id, slot)
    return slot
  }

  /**
   * Says how a file of kind REG, or of another that can be mapped, is opened for a mapping, with the flags that it needs (`fdflags` of the vma), once for
   * all mappings that need the same.
   */
  mapped(id: number, flags: number, at: Build): Slot<'fd'> {
    const key = `${id} ${flags}`
    const known = this.#mapped.get(key)
    if (known !== undefined) return known
    const open = (): Slot<'fd'> => {
      const { entry, kind, state } = this.#find(id)
      if (kind?.map !== undefined) return kind.map(state, flags, at)
      if (entry.type !== fd_types.REG)
        throw new BardoError('bad-image', `a mapping is of file ${id}, which has no path`)
      return openNamed(state as reg_file_entry, flags, at)
    }
    const slot = this.#guard(id, open) ?? NOWHERE
    this.#mapped.set(key, slot)
    return slot
  }

  /** The table that has file `id` first, by the order in which they were asked for, and of those that `also` suits. */
  #tableWith(id: number, also: (table: Table) => boolean = () => true): Table | undefined {
    for (const table of this.#tables.values()) if (table.lowest.has(id) && also(table)) return table
    return undefined
  }

  /** The process in whose table file `id` is first. */
  holder(id: number): number | undefined {
    return this.#tableWith(id, ({ holder }) => holder !== undefined)?.holder?.pid
  }

  /** The id of the file at number `fd` in the first table that has file `id` and something there. */
  beside(id: number, fd: number): number | undefined {
    const table = this.#tableWith(id, one => entryAt(one, fd) !== undefined)
    return table && entryAt(table, fd)?.id
  }

  /** Numbers of descriptors that are used on the way, beside those of the tables. */
  numbers(): number[] {
    return [...this.#files.values()].flatMap(({ kind, state }) => [...(kind?.numbers?.(state) ?? [])])
  }

  #find(id: number): Known {
    const known = this.#files.get(id)
    if (known !== undefined) return known
    throw new BardoError('bad-image', `files.img has no file ${id}`)
  }

  #restore(id: number, at: Build): Slot<'fd'> {
    const { entry, kind, state } = this.#find(id)
    if (kind === undefined) {
      const { says, why, hint } = notYetRestored(entry.type)
      throw new BardoError('unsupported', `cannot restore the file: ${says}`, { why, hint })
    }
    const file = kind.restore(state, at)
    const flags = typeof state['flags'] === 'number' ? state['flags'] : 0
    if ((flags & O_PATH) !== 0) return file
    if (kind.opensWithFlags !== true) at.call('fcntl', file, F_SETFL, flags & STATUS_FLAGS)
    const fown = state['fown'] as fown_entry | undefined
    if (fown !== undefined) this.#restoreOwner(file, fown, at)
    if ((flags & O_ASYNC) !== 0)
      at.later('signals', late => late.call('fcntl', file, F_SETFL, flags & (STATUS_FLAGS | O_ASYNC)))
    return file
  }

  #restoreOwner(file: Slot<'fd'>, fown: fown_entry, at: Build): void {
    const { uid, euid, signum, pid_type, pid } = fown
    if (signum !== 0) at.call('fcntl', file, F_SETSIG, signum)
    if (pid === 0) return
    if (pid_type > F_OWNER_PGRP) throw new BardoError('bad-image', `a file's owner is of type ${pid_type}`)
    if (pid_type !== F_OWNER_PGRP && !at.hasTask(pid))
      throw new BardoError('unsupported', `cannot restore the file: its owner ${pid} (F_SETOWN) is not in the image`, {
        hint: 'dump the owner too',
      })
    const owner = new Uint32Array([pid_type, pid])
    const foreign = uid !== sys('getuid') || euid !== sys('geteuid')
    // Processes and threads must exist before a file can belong to them.
    at.later('signals', late => {
      // The kernel notes who sets the owner, and asks at each signal whether that user may send it.
      const [ruid, caller] = [sys('getuid'), sys('geteuid')]
      if (foreign) late.call('setresuid', uid, euid, -1)
      // A group may have no member left; its files signal nobody then, as before.
      late.attempt([ESRCH], 'fcntl', file, F_SETOWN_EX, late.memory(new Uint8Array(owner.buffer)))
      if (foreign) late.call('setresuid', ruid, caller, -1)
    })
  }

  #guard(id: number, step: () => Slot<'fd'>): Slot<'fd'> | undefined {
    return this.report.collect(() => {
      try {
        return step()
      } catch (thrown) {
        // One that is thrown again, for another file of the same object, was told with the place of the first.
        const isNew = thrown instanceof BardoError && !this.report.findings.includes(thrown)
        throw isNew ? thrown.about(this.placeOf(id)) : thrown
      }
    })
  }

  /** Where a file is met: `pid 4312 "postgres", fd 7 -> /tmp/log`, or by its id if no table has it. */
  placeOf(id: number): string {
    const { kind, entry, state } = this.#files.get(id) ?? {}
    const name =
      typeof state?.['name'] === 'string' ? state['name'] : (kind?.name ?? nameOfValue(fd_types, entry?.type ?? 0))
    for (const [filesId, { lowest, holder }] of this.#tables) {
      const fd = lowest.get(id)
      if (fd === undefined) continue
      const who = holder === undefined ? `files ${filesId}` : `pid ${holder.pid} "${holder.comm}"`
      return `${who}, fd ${fd} -> ${name}`
    }
    return `file ${id} -> ${name}`
  }
}
