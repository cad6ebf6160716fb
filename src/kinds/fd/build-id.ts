// The build id of an ELF file: by it a program or library is known to be the same one after the restore.
// What counts is what CRIU takes, so that either side accepts the other's images: the first note of type 3 in a PT_NOTE
// segment, whatever its name, and only within the first megabyte.

/** Reads up to `length` bytes at `offset`; fewer at the end of the file. */
export type ReadAt = (offset: number, length: number) => Uint8Array

const PT_NOTE = 4
const NT_GNU_BUILD_ID = 3
const REACH = 1 << 20
/** Most files have header, program headers and notes in their first page. */
const FIRST_BYTES = 4096
const DESCRIPTION_MAX = 512
const PHNUM_MAX = 1024
const NOTES_MAX = 64 << 10

const align4 = (value: number): number => Math.ceil(value / 4) * 4

type Layout = { phoff: number; phnum: number; phentsize: number; wide: boolean }

/** The build id as words (reg_file_entry.build_id), little endian and padded with zeros; empty if the file has none. */
export function buildIdOf(size: number, read: ReadAt): number[] {
  if (size < 5) return []
  const reach = Math.min(size, REACH)
  const first = read(0, Math.min(FIRST_BYTES, reach))
  const layout = layoutOf(first)
  if (layout === undefined) return []
  const part = (offset: number, length: number): Uint8Array => {
    if (!(offset >= 0 && length >= 0 && offset + length <= reach)) return new Uint8Array(0)
    return offset + length <= first.length ? first.subarray(offset, offset + length) : read(offset, length)
  }
  const headers = part(layout.phoff, Math.min(layout.phnum, PHNUM_MAX) * layout.phentsize)
  const view = new DataView(headers.buffer, headers.byteOffset, headers.length)
  for (let at = 0; at + layout.phentsize <= headers.length; at += layout.phentsize) {
    if (view.getUint32(at, true) !== PT_NOTE) continue
    const offset = layout.wide ? Number(view.getBigUint64(at + 8, true)) : view.getUint32(at + 4, true)
    const length = layout.wide ? Number(view.getBigUint64(at + 32, true)) : view.getUint32(at + 16, true)
    if (offset === 0) continue
    const id = findNote(part(offset, Math.min(length, reach - offset, NOTES_MAX)))
    if (id !== undefined) return wordsOf(id)
  }
  return []
}

function layoutOf(head: Uint8Array): Layout | undefined {
  if (head[0] !== 0x7f || head[1] !== 0x45 || head[2] !== 0x4c || head[3] !== 0x46) return undefined
  const view = new DataView(head.buffer, head.byteOffset, head.length)
  if (head[4] === 2 && head.length >= 64)
    return { phoff: Number(view.getBigUint64(32, true)), phnum: view.getUint16(56, true), phentsize: 56, wide: true }
  if (head[4] === 1 && head.length >= 52)
    return { phoff: view.getUint32(28, true), phnum: view.getUint16(44, true), phentsize: 32, wide: false }
  return undefined
}

/** The description of the first note of the type; undefined if none, or of no possible length. */
function findNote(notes: Uint8Array): Uint8Array | undefined {
  const view = new DataView(notes.buffer, notes.byteOffset, notes.length)
  for (let at = 0; at + 12 <= notes.length;) {
    const [namesz, descsz, type] = [
      view.getUint32(at, true),
      view.getUint32(at + 4, true),
      view.getUint32(at + 8, true),
    ]
    const from = at + 12 + align4(namesz)
    if (type === NT_GNU_BUILD_ID) {
      if (descsz === 0 || descsz > DESCRIPTION_MAX || from + descsz > notes.length) return undefined
      return notes.subarray(from, from + descsz)
    }
    at = from + align4(descsz)
  }
  return undefined
}

function wordsOf(id: Uint8Array): number[] {
  const padded = new Uint8Array(align4(id.length))
  padded.set(id)
  const view = new DataView(padded.buffer)
  return Array.from({ length: padded.length / 4 }, (_, index) => view.getUint32(4 * index, true))
}

/** As `readelf -n` and debuggers print it. */
export function buildIdText(words: readonly number[]): string {
  return words
    .map(word =>
      word
        .toString(16)
        .padStart(8, '0')
        .replace(/(..)(..)(..)(..)/, '$4$3$2$1'),
    )
    .join('')
}
