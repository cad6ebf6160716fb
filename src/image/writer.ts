// An image directory, written. Entries gather in memory; inventory.img, which makes an image whole, comes last.
import { BardoError } from '../base/errors.ts'
import { EINTR, ENOSPC, O_CLOEXEC, O_CREAT, O_NOFOLLOW, O_RDWR, O_TRUNC } from '../linux/constants.ts'
import { Arena, syscall } from '../linux/ffi.ts'
import { NR } from '../linux/nr.ts'
import { sys } from '../linux/sys.ts'
import { encodeEntries, Sink } from './codec.ts'
import { magicsOf } from './entries.ts'
import {
  fileName,
  imageFiles,
  type EntryOf,
  type FileId,
  type FollowingOf,
  type ImageFile,
  type ImageKey,
  type Payload,
} from './files.ts'
import { type Message, type State } from './words.ts'

const MODE = 0o600
const EDQUOT = 122
const SEEK_END = 2

const PIECE_BYTES = 256 << 10
/** A file that has gathered this much is written down, and so are all when together they have sixteen times of it. */
const GATHER_BYTES = 1 << 20

const INVENTORY = 'inventory.img'

type StateOf<K extends ImageKey> = EntryOf<K> | FollowingOf<K>

interface Pending {
  readonly name: string
  readonly file: ImageFile
  readonly sink: Sink
  entries: number
}

export class ImageWriter {
  /** The caller's; never closed here. */
  readonly fd: number
  readonly #piece = new Arena(PIECE_BYTES)
  readonly #pending = new Map<string, Pending>()
  /** Files that exist because of us, in the order of their making. */
  readonly #made = new Set<string>()
  #gathered = 0

  constructor(fd: number) {
    this.fd = fd
  }

  /** Adds an entry, with the bytes that follow it where the file has such. */
  add<K extends ImageKey>(key: K, ids: readonly FileId[], state: StateOf<K>, payload?: Uint8Array): void {
    const pending = this.#file(key, ids)
    this.#put(pending, [state])
    const rule = pending.file.payload
    if (rule !== undefined && payload !== undefined) putPayload(pending, rule, state, payload)
    else if (payload !== undefined) throw new BardoError('bug', `${pending.name} has no payloads`)
    this.#after(pending)
  }

  /** Adds many entries; of a pagemap, the head is added first, alone. */
  addAll<K extends ImageKey>(key: K, ids: readonly FileId[], states: Iterable<StateOf<K>>): void {
    const pending = this.#file(key, ids)
    this.#put(pending, states)
    this.#after(pending)
  }

  /** Adds a part of the entry added last: a message of a queue, a chunk of a file. */
  addPart(key: ImageKey, ids: readonly FileId[], state: object, payload: Uint8Array): void {
    const pending = this.#file(key, ids)
    const { parts } = pending.file
    if (parts === undefined) throw new BardoError('bug', `${pending.name} has no parts`)
    encodeEntries(pending.sink, parts.message, [state as State<Message>])
    putPayload(pending, parts.payload, state, payload)
    this.#after(pending)
  }

  /** Makes a file even if no entry comes. */
  begin(key: ImageKey, ...ids: readonly FileId[]): void {
    this.#file(key, ids)
  }

  /**
   * Writes down what a file has and opens it at its end, for bytes that the kernel moves there (a large payload).
   * The caller writes exactly what the entry announced, and closes it.
   */
  openEnd(key: ImageKey, ...ids: readonly FileId[]): number {
    const pending = this.#file(key, ids)
    this.#write(pending)
    return this.#open(pending.name, O_RDWR)
  }

  /** Makes a file without a header, empty, open for reading and writing (pages). The caller closes it. */
  createRaw(name: string): number {
    return this.#create(name)
  }

  /** Writes all that is gathered, the inventory last. */
  finish(): void {
    for (const pending of this.#pending.values()) if (pending.name !== INVENTORY) this.#write(pending)
    const inventory = this.#pending.get(INVENTORY)
    if (inventory !== undefined) this.#write(inventory)
    this.#pending.clear()
    this.#piece.unmap()
  }

  /** Removes every file that this writer made; what cannot be removed stays. */
  discard(): void {
    this.#pending.clear()
    for (const name of this.#made) this.#remove(name)
    this.#made.clear()
    this.#piece.unmap()
  }

  #file(key: ImageKey, ids: readonly FileId[]): Pending {
    const name = fileName(key, ...ids)
    const known = this.#pending.get(name)
    if (known !== undefined) return known
    const file: ImageFile = imageFiles[key]
    const sink = new Sink()
    for (const magic of magicsOf(file)) sink.u32(magic)
    const pending: Pending = { name, file, sink, entries: 0 }
    this.#pending.set(name, pending)
    return pending
  }

  #put(pending: Pending, states: Iterable<unknown>): void {
    const { file, sink } = pending
    const before = sink.used
    if (file.following === undefined) encodeEntries(sink, file.entry, states as Iterable<State<Message>>)
    else
      for (const state of states)
        encodeEntries(sink, pending.entries++ === 0 ? file.entry : file.following, [state as State<Message>])
    this.#gathered += sink.used - before
  }

  #after(pending: Pending): void {
    if (pending.sink.used >= GATHER_BYTES && pending.name !== INVENTORY) this.#write(pending)
    if (this.#gathered < 16 * GATHER_BYTES) return
    for (const one of this.#pending.values()) if (one.name !== INVENTORY) this.#write(one)
  }

  #write(pending: Pending): void {
    const { name, sink } = pending
    // Closed between writes: an image may have more files than we may have descriptors.
    const fd = this.#made.has(name) ? this.#open(name, O_RDWR) : this.#create(name)
    try {
      for (let done = 0; done < sink.used;) {
        const part = Math.min(PIECE_BYTES, sink.used - done)
        this.#piece.bytes.set(sink.bytes.subarray(done, done + part))
        const wrote = syscall(NR.write, fd, this.#piece.address, part)
        if (wrote === -EINTR) continue
        if (wrote < 0) throw cannot('write', name, wrote)
        done += wrote
      }
    } finally {
      syscall(NR.close, fd)
    }
    this.#gathered = Math.max(0, this.#gathered - sink.used)
    sink.used = 0
  }

  #create(name: string): number {
    // An inventory of an earlier dump would call the mixture of its files and ours a whole image.
    if (this.#made.size === 0 && !name.startsWith('stats-') && name !== 'irmap-cache') this.#remove(INVENTORY)
    const fd = this.#open(name, O_RDWR | O_CREAT | O_TRUNC)
    this.#made.add(name)
    return fd
  }

  #open(name: string, flags: number): number {
    if (name.includes('/')) throw new BardoError('bug', `an image file cannot be named ${name}`)
    // O_NOFOLLOW: in a shared directory a link could have been laid in our way.
    const fd = sys('openat', this.fd, name, flags | O_NOFOLLOW | O_CLOEXEC, MODE)
    if (fd < 0) throw cannot('create', name, fd)
    // Not O_APPEND: the kernel does not splice into a file that is open that way.
    syscall(NR.lseek, fd, 0, SEEK_END)
    return fd
  }

  #remove(name: string): void {
    sys('unlinkat', this.fd, name, 0)
  }
}

function putPayload(pending: Pending, rule: Payload<never>, state: unknown, payload: Uint8Array): void {
  const size = rule.size(state as never)
  if (size !== 'rest' && Number(size) !== payload.length)
    throw new BardoError('bug', `${pending.name}: an entry announces ${size} bytes and gets ${payload.length}`)
  pending.sink.append(payload)
  const align = rule.align ?? 1
  pending.sink.append(new Uint8Array(Math.ceil(payload.length / align) * align - payload.length))
}

function cannot(what: string, name: string, errno: number): BardoError {
  const full = errno === -ENOSPC || errno === -EDQUOT
  return new BardoError('refused', `cannot ${what} ${name}`, {
    where: name,
    errno,
    hint: full ? 'make room, or name another directory with -D' : 'check that the directory of -D can be written to',
  })
}
