// An image directory, read. Files are opened inside the directory only and read through a window of fixed memory.
import { BardoError } from '../base/errors.ts'
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  EINTR,
  ENOENT,
  ENOSYS,
  EPERM,
  O_CLOEXEC,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_NONBLOCK,
  S_IFMT,
  S_IFREG,
} from '../linux/constants.ts'
import { Arena, syscall } from '../linux/ffi.ts'
import { NR } from '../linux/nr.ts'
import { readDirectory, statOf, sys } from '../linux/sys.ts'
import { eachEntry, type ByteSource, type Entry, type Span } from './entries.ts'
import type { pagemap_entry, pagemap_head } from './messages/mm.ts'
import { fromBytes, fromEntry, type PagemapRun } from './pagemap.ts'
import { fileName, imageFiles, type EntryOf, type FileId, type FollowingOf, type ImageKey } from './files.ts'

/** Of openat2(2): no link and no `..` leads out of the directory. */
const RESOLVE_BENEATH = 0x8
const EXDEV = 18
const WINDOW_BYTES = 256 << 10

/** Opens an image directory; the caller closes the descriptor. */
export function openImageDirectory(path: string): number {
  const fd = sys('openat', AT_FDCWD, path, O_DIRECTORY | O_CLOEXEC)
  if (fd >= 0) return fd
  throw new BardoError('refused', `cannot open the image directory ${path}`, {
    errno: fd,
    hint: 'name a directory that exists with -D',
  })
}

export class ImageDirectory {
  /** The caller's; never closed here. */
  readonly fd: number
  /** Fixed memory that files are read through, one at a time. */
  readonly window = new Arena(WINDOW_BYTES)
  /** The file whose bytes are in the window. */
  windowOf: FileSource | undefined

  constructor(fd: number) {
    this.fd = fd
  }

  /** All entries of a file, which must exist. */
  read<K extends ImageKey>(key: K, ...ids: readonly FileId[]): EntryOf<K>[] {
    return this.readEntries(key, ...ids).map(found => found.entry)
  }

  /** All entries of a file, none if it does not exist: CRIU does not write files that would be empty. */
  readAny<K extends ImageKey>(key: K, ...ids: readonly FileId[]): EntryOf<K>[] {
    return this.has(fileName(key, ...ids)) ? this.read(key, ...ids) : []
  }

  /** The one entry of a file that has one. */
  readOne<K extends ImageKey>(key: K, ...ids: readonly FileId[]): EntryOf<K> {
    const name = fileName(key, ...ids)
    const wrong = (count: string): BardoError =>
      new BardoError('bad-image', `${name} holds ${count}, and should hold one`, {
        where: name,
        hint: 'take a whole copy of the image, or dump again',
      })
    let only: EntryOf<K> | undefined
    this.#each(key, ids, ({ entry }) => {
      // At the second, not at the end: a file can have as many as it has bytes.
      if (only !== undefined) throw wrong('more than one entry')
      only = entry as EntryOf<K>
    })
    if (only === undefined) throw wrong('no entry')
    return only
  }

  /** All entries with where the bytes are that follow them; `payload` reads those. */
  readEntries<K extends ImageKey>(key: K, ...ids: readonly FileId[]): Entry<EntryOf<K>>[] {
    const entries: Entry<EntryOf<K>>[] = []
    this.#each(key, ids, found => void entries.push(found as Entry<EntryOf<K>>))
    return entries
  }

  /** Visits the runs of a pagemap, all in one object; the id of its file of pages. */
  eachRun(key: 'PAGEMAP' | 'SHMEM_PAGEMAP', id: FileId, visit: (run: Readonly<PagemapRun>) => void): number {
    const name = fileName(key, id)
    const run: PagemapRun = { vaddr: 0, nr_pages: 0, flags: -1, in_parent: false }
    let head: pagemap_head | undefined
    const other = (found: Entry<unknown>): void => {
      if (head === undefined) head = found.entry as pagemap_head
      else {
        fromEntry(run, found.entry as pagemap_entry)
        visit(run)
      }
    }
    const plain = (bytes: Uint8Array, at: number, end: number): boolean => {
      if (!fromBytes(run, bytes, at, end)) return false
      visit(run)
      return true
    }
    using source = this.source(name)
    eachEntry(source, name, imageFiles[key], other, plain)
    if (head === undefined) throw new BardoError('bad-image', `${name} is empty`, { where: name })
    return head.pages_id
  }

  /** Visits entries one by one: for files that are too large to have at once. */
  each<K extends ImageKey>(
    key: K,
    ids: readonly FileId[],
    visit: (entry: Entry<EntryOf<K> | FollowingOf<K>>) => void,
  ): void {
    this.#each(key, ids, found => visit(found as Entry<EntryOf<K>>))
  }

  #each(key: ImageKey, ids: readonly FileId[], visit: (entry: Entry<unknown>) => void): void {
    const name = fileName(key, ...ids)
    using source = this.source(name)
    eachEntry(source, name, imageFiles[key], visit)
  }

  /** The bytes of a payload, or of `length` bytes from `from` in it. Whoever asks for all of a large one has it all. */
  payload(name: string, span: Span, from = 0, length = span.size - from): Uint8Array {
    using source = this.source(name)
    if (from < 0 || length < 0 || from + length > span.size || span.offset + span.size > source.size)
      throw new BardoError('bad-image', `${name} has no ${length} bytes at ${span.offset + from}`, { where: name })
    return source.view(span.offset + from, length).slice()
  }

  /** Whether a file exists: by name, or by key and ids. */
  has(name: string): boolean
  has(key: ImageKey, ...ids: readonly FileId[]): boolean
  has(name: string, ...ids: readonly FileId[]): boolean {
    const file = name in imageFiles ? fileName(name as ImageKey, ...ids) : name
    return typeof statOf(this.fd, file, 0) !== 'number'
  }

  /** A file as a source of bytes, to be closed with `using`. */
  source(name: string): FileSource {
    const fd = this.openRaw(name)
    const stat = statOf(fd, '', AT_EMPTY_PATH)
    if (typeof stat !== 'number' && (stat.mode & S_IFMT) === S_IFREG) return new FileSource(this, name, fd, stat.size)
    syscall(NR.close, fd)
    if (typeof stat === 'number')
      throw new BardoError('refused', `cannot look at ${name}`, { where: name, errno: stat })
    throw new BardoError('bad-image', `${name} is not a regular file`, { where: name })
  }

  /** Opens a file for reading, for bytes that the kernel moves (pages). The caller closes it, and checks its size. */
  openRaw(name: string): number {
    if (name.includes('/')) throw new BardoError('usage', `an image file cannot be named ${name}`)
    // O_NONBLOCK: a fifo in its place would hold us up for ever.
    const flags = O_NONBLOCK | O_CLOEXEC
    // struct open_how: flags, mode, resolve.
    const how = new BigUint64Array([BigInt(flags), 0n, BigInt(RESOLVE_BENEATH)])
    let fd = sys('openat2', this.fd, name, new Uint8Array(how.buffer), how.byteLength)
    // Filters of some containers do not know openat2; without it no link is followed at all.
    if (fd === -ENOSYS || fd === -EPERM) fd = sys('openat', this.fd, name, flags | O_NOFOLLOW)
    if (fd >= 0) return fd
    if (fd === -ENOENT)
      throw new BardoError('bad-image', `${name} is missing`, {
        where: name,
        hint: 'check that -D names the directory of a complete dump',
      })
    const why = fd === -EXDEV ? 'it is a link that leads out of the image directory' : undefined
    throw new BardoError('refused', `cannot open ${name}`, { where: name, errno: fd, why })
  }

  /** The names of all files, sorted. */
  list(): string[] {
    return readDirectory(this.fd, '.').toSorted()
  }

  /** Gives the window back. */
  [Symbol.dispose](): void {
    this.window.unmap()
  }
}

/** An open file of the directory. */
export class FileSource implements ByteSource {
  readonly directory: ImageDirectory
  readonly name: string
  readonly fd: number
  readonly size: number
  // What of the file is in the window, while `directory.windowOf` is this.
  #from = 0
  #to = 0

  constructor(directory: ImageDirectory, name: string, fd: number, size: number) {
    this.directory = directory
    this.name = name
    this.fd = fd
    this.size = size
  }

  view(offset: number, length: number): Uint8Array {
    const { bytes } = this.directory.window
    if (length > WINDOW_BYTES) return this.#whole(offset, length)
    if (this.directory.windowOf !== this || offset < this.#from || offset + length > this.#to)
      this.#fill(offset, length)
    const at = offset - this.#from
    return bytes.subarray(at, at + length)
  }

  #whole(offset: number, length: number): Uint8Array {
    const whole = new Uint8Array(length)
    for (let done = 0; done < length; done += WINDOW_BYTES) {
      const part = Math.min(WINDOW_BYTES, length - done)
      whole.set(this.view(offset + done, part), done)
    }
    return whole
  }

  #fill(offset: number, length: number): void {
    this.directory.windowOf = this
    this.#from = offset
    this.#to = offset
    const wanted = Math.min(WINDOW_BYTES, this.size - offset)
    while (this.#to < offset + length) {
      const done = this.#to - offset
      const at = this.directory.window.address + done
      const got = syscall(NR.pread64, this.fd, at, wanted - done, this.#to)
      if (got === -EINTR) continue
      if (got < 0) throw new BardoError('refused', `cannot read ${this.name}`, { where: this.name, errno: got })
      if (got === 0)
        throw new BardoError('bad-image', `${this.name} became shorter while it was read`, { where: this.name })
      this.#to += got
    }
  }

  [Symbol.dispose](): void {
    if (this.directory.windowOf === this) this.directory.windowOf = undefined
    syscall(NR.close, this.fd)
  }
}
