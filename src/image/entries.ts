// Walks the entries of one image file, wherever its bytes are. No more is read than an entry needs.
import { BardoError } from '../base/errors.ts'
import { decode, readU32 } from './codec.ts'
import {
  IMG_COMMON_MAGIC,
  IMG_SERVICE_MAGIC,
  imageFiles,
  type ImageFile,
  type ImageKey,
  type Payload,
} from './files.ts'

/** Bytes of known size. A view is good until the next one is asked for. */
export interface ByteSource {
  readonly size: number
  /** The caller has checked that `offset + length` is within `size`. */
  view(offset: number, length: number): Uint8Array
}

/** Where bytes lie in a file. */
export interface Span {
  readonly offset: number
  readonly size: number
}

/** An entry with what follows it: `payload` is empty and `parts` are none where the file has no such thing. */
export interface Entry<S> {
  readonly entry: S
  readonly payload: Span
  readonly parts: readonly Entry<unknown>[]
}

/**
 * How many entries of a file may be empty. Most messages cannot be, and a message of which nothing is set says nothing;
 * but a file full of them, which a hole makes of any size for nothing, would become as many objects.
 */
const EMPTY_ENTRIES_MAX = 1000

/** Every length in a file is held against its size; this bounds what is decoded at once, in the largest of files. */
export const ENTRY_BYTES_MAX = 64 << 20

/**
 * Entries above this size may have no more than ENTRY_BYTES_MAX together. A file has one such entry at most: the
 * mappings of a task, the filters of all. In a file with holes a length is all that each would take on the disk.
 */
const LARGE_BYTES = 64 << 10

export const memorySource = (bytes: Uint8Array): ByteSource => ({
  size: bytes.length,
  view: (offset, length) => bytes.subarray(offset, offset + length),
})

const NOTHING: Span = { offset: 0, size: 0 }
const HINT = 'take a whole copy of the image, or dump again'
const hexadecimal = (values: readonly number[]): string => values.map(value => `0x${value.toString(16)}`).join(' ')

/** The length of a file's header: one magic or two. */
export const headerBytes = (file: ImageFile): number => (file.before === 'nothing' ? 4 : 8)

/** The magics that a file starts with. */
export function magicsOf(file: ImageFile): number[] {
  if (file.before === 'nothing') return [file.magic]
  return [file.before === 'common' ? IMG_COMMON_MAGIC : IMG_SERVICE_MAGIC, file.magic]
}

/** The key of the file that these bytes are by their magics, undefined if they are none (pages, say). */
export function keyOfBytes(source: ByteSource): ImageKey | undefined {
  if (source.size < 4) return undefined
  const head = source.view(0, Math.min(8, source.size))
  const first = readU32(head, 0)
  const second = head.length === 8 ? readU32(head, 4) : 0
  for (const [key, file] of Object.entries(imageFiles)) {
    const magics = magicsOf(file)
    if (magics[0] === first && (magics.length === 1 || magics[1] === second)) return key as ImageKey
  }
  return undefined
}

/** Bytes that are looked at for plain entries at once. */
const PLAIN_BYTES = 64 << 10

/**
 * Calls `visit` with each entry in order, once its payload and parts are known to be there whole.
 * Throws `bad-image` with file, entry and offset for a wrong magic, a length past the end, or a damaged message.
 * `plain` may take entries behind the first by itself, from their bytes; those that it leaves are decoded and visited.
 */
export function eachEntry(
  source: ByteSource,
  name: string,
  file: ImageFile,
  visit: (entry: Entry<unknown>) => void,
  plain?: (bytes: Uint8Array, at: number, end: number) => boolean,
): void {
  checkMagics(source, name, file)
  const walk = new Walk(source, file)
  try {
    while (walk.at < source.size) {
      visit(walk.next())
      if (plain !== undefined) walk.pass(plain)
    }
  } catch (thrown) {
    // Entries count from 1, as a reader of the listing counts them.
    if (thrown instanceof BardoError && thrown.code === 'bad-image' && !walk.visiting)
      thrown.about(`${name}, entry ${walk.count}, at byte ${walk.start}`)
    throw thrown
  }
}

function checkMagics(source: ByteSource, name: string, file: ImageFile): void {
  const wanted = magicsOf(file)
  const found: number[] = []
  for (let at = 0; at < 4 * wanted.length && at + 4 <= source.size; at += 4) found.push(readU32(source.view(at, 4), 0))
  if (wanted.every((magic, index) => found[index] === magic)) return
  throw new BardoError('bad-image', `${name} does not start as such a file must`, {
    where: name,
    why: `its first words are ${hexadecimal(found) || 'missing'}, not ${hexadecimal(wanted)}`,
    hint: 'check that this is the image directory, and that the file was copied whole',
  })
}

class Walk {
  readonly source: ByteSource
  readonly file: ImageFile
  /** The next byte. */
  at: number
  /** Where the entry began. */
  start: number
  count = 0
  empty = 0
  /** Bytes of large entries. */
  large = 0
  /** Whether an error comes from the visitor: then it is not about this file. */
  visiting = false

  constructor(source: ByteSource, file: ImageFile) {
    this.source = source
    this.file = file
    this.at = headerBytes(file)
    this.start = this.at
  }

  next(): Entry<unknown> {
    this.visiting = false
    this.start = this.at
    this.count++
    const { file } = this
    const entry = this.message(this.count === 1 ? file.entry : (file.following ?? file.entry))
    const payload = file.payload === undefined ? NOTHING : this.payload(file.payload, entry)
    const parts: Entry<unknown>[] = []
    if (file.parts !== undefined) {
      const count = file.parts.count(entry as never)
      while (count === 'rest' ? this.at < this.source.size : parts.length < count) {
        const part = this.message(file.parts.message)
        parts.push({ entry: part, payload: this.payload(file.parts.payload, part), parts: [] })
      }
    }
    this.visiting = true
    return { entry, payload, parts }
  }

  /** Passes over entries that `plain` takes, as far as they lie whole in what is looked at. */
  pass(plain: (bytes: Uint8Array, at: number, end: number) => boolean): void {
    const bytes = this.source.view(this.at, Math.min(PLAIN_BYTES, this.source.size - this.at))
    let at = 0
    while (at + 4 <= bytes.length) {
      const end = at + 4 + readU32(bytes, at)
      if (end > bytes.length || !plain(bytes, at + 4, end)) break
      at = end
      this.count++
    }
    this.at += at
  }

  message(of: ImageFile['entry']): unknown {
    const left = this.source.size - this.at - 4
    if (left < 0) throw new BardoError('bad-image', 'the file is cut short in the length of an entry', { hint: HINT })
    const length = readU32(this.source.view(this.at, 4), 0)
    if (length > left || length > ENTRY_BYTES_MAX)
      throw new BardoError('bad-image', `cannot decode ${of.name}: an entry of ${length} bytes is not possible here`, {
        why: length > left ? `the file ends ${left} bytes on` : `an entry may have ${ENTRY_BYTES_MAX} bytes`,
        hint: HINT,
      })
    if (length > LARGE_BYTES) this.large += length
    if (this.large > ENTRY_BYTES_MAX)
      throw new BardoError('bad-image', `entries above ${LARGE_BYTES} bytes have more than ${ENTRY_BYTES_MAX}`, {
        hint: HINT,
      })
    if (length === 0 && ++this.empty > EMPTY_ENTRIES_MAX)
      throw new BardoError('bad-image', `more than ${EMPTY_ENTRIES_MAX} entries are empty`, { hint: HINT })
    const state = decode(of, this.source.view(this.at + 4, length))
    this.at += 4 + length
    return state
  }

  payload(rule: Payload<never>, entry: unknown): Span {
    const left = this.source.size - this.at
    const told = rule.size(entry as never)
    const size = told === 'rest' ? left : told
    if (size > left)
      throw new BardoError('bad-image', `${size} bytes should follow the entry, ${left} do`, { hint: HINT })
    const span = { offset: this.at, size: Number(size) }
    const align = rule.align ?? 1
    // The padding behind the last bytes may be missing: no one reads it.
    this.at = Math.min(this.source.size, this.at + Math.ceil(span.size / align) * align)
    return span
  }
}
