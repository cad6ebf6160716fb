// The open files of the tree: every descriptor of every task, and files that tasks reach in other ways (programs,
// mappings, working directories). What is the same for all kinds is done here, once: numbers, sharing, flags, owners.
import { BardoError, type Report } from '../base/errors.ts'
import { log } from '../base/log.ts'
import { externalKey, type DumpOptions, type External } from '../base/options.ts'
import { fd_types, type fdinfo_entry, type file_entry } from '../image/messages/files.ts'
import type { fown_entry } from '../image/messages/fown.ts'
import type { ImageWriter } from '../image/writer.ts'
import { kindOfFile, notYetDumped, stateOfNamed, typeOf } from '../kinds/fd/index.ts'
import type { FileView, Limit, TaskSession } from '../kinds/kind.ts'
import { AT_FDCWD, FD_CLOEXEC, F_DUPFD_CLOEXEC, F_GETFL, F_OWNER_PGRP, O_CLOEXEC } from '../linux/constants.ts'
import { syscall } from '../linux/ffi.ts'
import { NR } from '../linux/nr.ts'
import { parseFdinfo, type Fdinfo } from '../linux/proc/fdinfo.ts'
import { must, readOnce, statOf, type Stat } from '../linux/sys.ts'
import { DescriptorTable, linkText, mustReadLink, NOBODY, openLink, readOwner, statOfOurs } from './descriptor-table.ts'
import { Descriptions } from './file-sharing.ts'

/** What a collector works with, and what the tree as a whole knows. */
export type CollectorParts = {
  readonly images: ImageWriter
  readonly options: DumpOptions
  readonly report: Report
  /** Whether a process of the tree leads this session. */
  readonly hasSession: (sid: number) => boolean
  /** All sessions that tasks of the tree are in, once each. */
  readonly sessions: readonly TaskSession[]
  /** Whether a task of the tree has this pid or tid. */
  readonly hasTask: (id: number) => boolean
}

export type FileHolder = { readonly pid: number; readonly comm: string }

const fileLocks: Limit = {
  id: 'file-locks',
  says: 'a file lock is not supported yet',
  hint: 'let it be released before the dump',
}

const ownerOutside: Limit = {
  id: 'file-owner-outside',
  says: 'its owner (F_SETOWN), who gets its signals, is not in the tree',
  hint: 'dump the owner too',
}

const withoutPath: Limit = {
  id: 'program-without-path',
  says: 'a program that was run from a file which never had a path (a memfd) is not supported',
  hint: 'run it from a file',
}

const unknownKind: Limit = {
  id: 'unknown-file',
  says: 'a file of this kind is not supported',
  hint: 'close it before the dump',
}

/** Limits that hold for all kinds, for the list of what is not supported. */
export const fileLimits: readonly Limit[] = [fileLocks, ownerOutside, withoutPath, unknownKind]

export class FileCollector {
  readonly parts: CollectorParts
  readonly images: ImageWriter
  readonly #report: Report
  readonly #externals: ReadonlySet<string>
  /** Those of them that were met. */
  readonly #met = new Set<string>()
  readonly #kept: number[] = []
  readonly #atEnd: { readonly place: string; readonly save: () => void }[] = []
  readonly #shared = new Map<string, unknown>()
  readonly #descriptions = new Descriptions()
  /** Tables of descriptors that were collected already, by files_id: a process that has each. */
  readonly #tables = new Map<number, number>()
  readonly #named = new Map<string, number>()
  /** Files of memory whose bytes are to be saved with the other memory, by the id under which: descriptors of ours. */
  readonly memories = new Map<number, number>()
  /** Entries that wait until all files have been seen, in the order in which they were met. */
  readonly #writtenLast: file_entry[] = []
  #lastId = 0

  constructor(parts: CollectorParts) {
    this.parts = parts
    this.images = parts.images
    this.#report = parts.report
    this.#externals = new Set(parts.options.externals.map(externalKey))
  }

  /**
   * Saves the descriptors of a task, which is stopped; once for all tasks that share a table (`filesId`). What cannot
   * be saved goes to the report, and the others are saved nonetheless. `closesOnExec` asks the task itself about one,
   * where nothing else tells.
   */
  descriptors(task: FileHolder & { readonly filesId: number }, closesOnExec: (fd: number) => boolean): void {
    if (this.#tables.has(task.filesId)) return
    this.#tables.set(task.filesId, task.pid)
    using table = new DescriptorTable(task)
    this.images.begin('FDINFO', task.filesId)
    // Written as they come: a table may have a million.
    for (const fd of table.numbers()) {
      const entry = this.#guard(
        () => table.placeOf(fd),
        () => this.#descriptor(table, fd, closesOnExec),
      )
      if (entry !== undefined) this.images.add('FDINFO', [task.filesId], entry)
    }
  }

  #descriptor(table: DescriptorTable, fd: number, closesOnExec: (fd: number) => boolean): fdinfo_entry | undefined {
    using ours = table.copy(fd)
    const stat = statOfOurs(ours.fd)
    const fdinfo = table.fdinfo(fd)
    const { description, isNew } = this.#descriptions.find(table.pid, fd, stat.dev, stat.ino)
    // Of a description that has O_CLOEXEC itself, fdinfo shows it whatever the descriptor has
    // (test/kernel/tty-peer-cloexec.test.ts).
    const shown = fdinfo.flags & O_CLOEXEC
    const own = shown === 0 ? 0 : must('fcntl', ours.fd, F_GETFL) & O_CLOEXEC
    if (isNew) {
      const flags = (fdinfo.flags & ~O_CLOEXEC) | own
      const view = new View(this, ours.fd, stat, table.link(fd), flags, fdinfo, () => table.placeOf(fd), table.pid)
      description.type = this.#save(view)
      description.id = view.id
    } else if (description.id === 0) return undefined // Told when it was met first.
    const flags = (own === 0 ? shown !== 0 : closesOnExec(fd)) ? FD_CLOEXEC : 0
    return { id: description.id, flags, type: description.type, fd }
  }

  /** Saves a description by its kind; its type. */
  #save(view: View): number {
    const { stat, link, flags } = view
    const notYet = notYetDumped({ ...stat, link, ours: view.ours })
    if (notYet !== undefined) return view.refuse(notYet)
    const kind = kindOfFile({ ...stat, link, flags })
    if (kind === undefined) return view.refuse(unknownKind, `its mode is ${stat.mode.toString(8)}`)
    if (view.fdinfo.locks.length > 0) view.refuse(fileLocks, view.fdinfo.locks[0])
    const type = typeOf(kind)
    const state: Record<string, unknown> = { ...kind.dump(view), id: view.id }
    if ('flags' in kind.image.fields) state['flags'] = flags
    if ('fown' in kind.image.fields) state['fown'] = view.owner()
    const entry = { type, id: view.id, [kind.field]: state }
    if (kind.writtenLast === true) this.#writtenLast.push(entry)
    else this.images.add('FILES', [], entry)
    return type
  }

  /**
   * The id of a file of kind REG, or of another that can be mapped, that a task reaches by a link of its /proc folder:
   * `exe`, `cwd`, `root`, `map_files/7f…-7f…`. `flags` are those that a mapping needs (O_RDWR for a shared one that may be written to).
   * Files equal in device, inode, name and flags get one id. `identity`, any text that is equal for equal files
   * (device, inode and name as /proc/PID/maps has them), saves looking at a file that is known. 0 if it cannot be
   * saved: told in the report.
   */
  named(task: FileHolder, procLink: string, flags = 0, identity?: string): number {
    const quick = identity === undefined ? undefined : `? ${flags} ${identity}`
    const known = quick === undefined ? undefined : this.#named.get(quick)
    if (known !== undefined) return known
    const place = (): string => `pid ${task.pid} "${task.comm}", ${procLink} -> ${linkText(task.pid, procLink)}`
    const id = this.#guard(place, () => this.#lookAt(task.pid, procLink, flags)) ?? 0
    if (quick !== undefined) this.#named.set(quick, id)
    return id
  }

  #lookAt(pid: number, procLink: string, flags: number): number {
    const link = mustReadLink(AT_FDCWD, `/proc/${pid}/${procLink}`, pid)
    using ours = openLink(pid, procLink, link)
    const stat = statOfOurs(ours.fd)
    const key = `${flags} ${stat.dev}:${stat.ino} ${link}`
    const known = this.#named.get(key)
    if (known !== undefined) return known
    const view = new View(this, ours.fd, stat, link, flags, undefined)
    const notYet = notYetDumped({ ...stat, link, ours: ours.fd })
    if (notYet !== undefined) return view.refuse(notYet)
    const kind = kindOfFile({ ...stat, link, flags })
    if (kind?.map === undefined) this.addNamed(view, view.id, flags, NOBODY)
    else if (procLink.startsWith('map_files/')) this.#save(view)
    else view.refuse(withoutPath)
    this.#named.set(key, view.id)
    return view.id
  }

  /** Adds a REG entry for the path of a file. */
  addNamed(view: FileView, id: number, flags: number, fown: fown_entry): void {
    const reg = { ...stateOfNamed(view), id, flags, fown }
    this.images.add('FILES', [], { type: fd_types.REG, id, reg })
  }

  /** Does what kinds have left for the end, and closes what they kept; what was kept to find sharing is forgotten. */
  finish(): void {
    for (const { place, save } of this.#atEnd) this.#guard(() => place, save)
    this.#atEnd.length = 0
    this.#warnOfUnmet()
    for (const entry of this.#writtenLast.splice(0).toReversed()) this.images.add('FILES', [], entry)
    this.#shared.clear()
    this.#named.clear()
    this.#closeKept()
  }

  #closeKept(): void {
    for (const fd of this.#kept) syscall(NR.close, fd)
    this.#kept.length = 0
  }

  /** Closes what was kept, and the memory files. */
  [Symbol.dispose](): void {
    this.#closeKept()
    for (const fd of this.memories.values()) syscall(NR.close, fd)
    this.memories.clear()
  }

  /** The processes that descriptors were read of, one a table, `first` at the front. */
  tables(first: number | undefined): number[] {
    const all = [...this.#tables.values()]
    return first === undefined ? all : [first, ...all.filter(pid => pid !== first)]
  }

  /** The id of the file that a process has at `fd`; it was seen already. */
  fileAt(pid: number, fd: number): number | undefined {
    const stat = statOf(AT_FDCWD, `/proc/${pid}/fd/${fd}`, 0)
    if (typeof stat === 'number') return undefined
    const { id } = this.#descriptions.find(pid, fd, stat.dev, stat.ino).description
    return id === 0 ? undefined : id
  }

  keep(fd: number): void {
    this.#kept.push(fd)
  }

  atEnd(place: string, save: () => void): void {
    this.#atEnd.push({ place, save })
  }

  nextId(): number {
    return ++this.#lastId
  }

  once<T>(key: string, save: () => T): T {
    if (this.#shared.has(key)) return this.#shared.get(key) as T
    const made = save()
    this.#shared.set(key, made)
    return made
  }

  isExternal(external: External): boolean {
    const key = externalKey(external)
    const found = this.#externals.has(key)
    if (found) this.#met.add(key)
    return found
  }

  /** A terminal that was named by a slip is none of the tree's, and the one that was meant may be a pair in the image. */
  #warnOfUnmet(): void {
    for (const external of this.parts.options.externals) {
      const key = externalKey(external)
      if (external.kind === 'tty' && !this.#met.has(key))
        log.warn('dump/files', `--external '${key}': no process of the tree has this terminal open`)
    }
  }

  #guard<T>(place: () => string, step: () => T): T | undefined {
    return this.#report.collect(() => {
      try {
        return step()
      } catch (thrown) {
        throw thrown instanceof BardoError ? thrown.about(place()) : thrown
      }
    })
  }
}

/** What a kind sees of one open file. */
class View implements FileView {
  readonly ours: number
  readonly stat: Stat
  readonly link: string
  readonly flags: number
  readonly id: number
  readonly #files: FileCollector
  readonly #fdinfo: Fdinfo | undefined
  #own: Fdinfo | undefined
  readonly #place: () => string
  /** The process whose descriptor it is. */
  readonly #pid: number | undefined
  #owner: fown_entry | undefined

  constructor(
    files: FileCollector,
    ours: number,
    stat: Stat,
    link: string,
    flags: number,
    fdinfo: Fdinfo | undefined,
    place: () => string = () => link,
    pid?: number,
  ) {
    this.#files = files
    this.ours = ours
    this.stat = stat
    this.link = link
    this.flags = flags
    this.#fdinfo = fdinfo
    this.#place = place
    this.#pid = pid
    this.id = files.nextId()
  }

  /** Of a file that no descriptor of the task holds: at its beginning, on the mount that we reached it by. */
  get fdinfo(): Fdinfo {
    return this.#fdinfo ?? (this.#own ??= this.#ownFdinfo())
  }

  /** Of a name that we have opened ourselves only the mount counts. */
  #ownFdinfo(): Fdinfo {
    const { mnt_id } = parseFdinfo(readOnce(AT_FDCWD, `/proc/self/fdinfo/${this.ours}`)!)
    return { pos: 0n, flags: this.flags, mnt_id, locks: [], extra: new Map() }
  }

  get options(): DumpOptions {
    return this.#files.parts.options
  }

  get shellJob(): boolean {
    return this.options.shellJob
  }

  get images(): ImageWriter {
    return this.#files.images
  }

  isExternal(external: External): boolean {
    return this.#files.isExternal(external)
  }

  hasSession(sid: number): boolean {
    return this.#files.parts.hasSession(sid)
  }

  once<T>(key: string, save: () => T): T {
    return this.#files.once(key, save)
  }

  get sessions(): readonly TaskSession[] {
    return this.#files.parts.sessions
  }

  keep(): number {
    const copy = must('fcntl', this.ours, F_DUPFD_CLOEXEC, 0)
    this.#files.keep(copy)
    return copy
  }

  atEnd(save: () => void): void {
    this.#files.atEnd(this.#place(), save)
  }

  get tables(): readonly number[] {
    return this.#files.tables(this.#pid)
  }

  fileAt(pid: number, fd: number): number | undefined {
    return this.#files.fileAt(pid, fd)
  }

  saveMemory(shmid: number): void {
    this.#files.memories.set(shmid, must('fcntl', this.ours, F_DUPFD_CLOEXEC, 0))
  }

  saveName(): number {
    const named = new View(this.#files, this.ours, this.stat, this.link, this.flags, this.fdinfo)
    this.#files.addNamed(named, named.id, this.flags, this.owner())
    return named.id
  }

  owner(): fown_entry {
    if (this.#owner !== undefined) return this.#owner
    // What is mapped and is no descriptor has none.
    if (this.#fdinfo === undefined) return NOBODY
    const owner = readOwner(this.ours, this.flags)
    if (owner.pid !== 0 && owner.pid_type !== F_OWNER_PGRP && !this.#files.parts.hasTask(owner.pid))
      this.refuse(ownerOutside, `pid ${owner.pid}`)
    this.#owner = owner
    return owner
  }

  refuse(limit: Limit, detail?: string): never {
    throw new BardoError(
      'unsupported',
      `cannot dump the file: ${limit.says}${detail === undefined ? '' : ` (${detail})`}`,
      {
        why: limit.why,
        hint: limit.hint,
      },
    )
  }
}
