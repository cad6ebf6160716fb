// /proc/PID/maps: the memory map of a process, a line a mapping (man 5 proc; show_map_vma in fs/proc/task_mmu.c).
import { Cursor, unescapeOctal } from './cursor.ts'

const [PROT_READ, PROT_WRITE, PROT_EXEC] = [1, 2, 4]
const [NEWLINE, SPACE, MINUS, COLON, BACKSLASH] = [0x0a, 0x20, 0x2d, 0x3a, 0x5c]
const [R, W, X, S, P] = [0x72, 0x77, 0x78, 0x73, 0x70]
/** Every address and offset of the file is a multiple of this, on all machines that we run on. */
const PAGE = 4096
const DELETED = ' (deleted)'

export type Mapping = {
  /** First byte. A JS number is exact here even for vsyscall's 0xffffffffff600000: pages leave 52 bits that matter. */
  start: number
  /** One past the last byte. */
  end: number
  /** PROT_READ (1) | PROT_WRITE (2) | PROT_EXEC (4). */
  prot: number
  /** MAP_SHARED, as the mapping was made: a shared mapping of a read-only file says so too. */
  shared: boolean
  /** Where in the file it starts, in bytes; 0 for anonymous memory. */
  pgoff_bytes: number
  major: number
  minor: number
  /** 0 without a file; a bigint from 2^53 on. */
  ino: number | bigint
  /** A path, a name of the kernel's such as `[stack]` or `anon_inode:[perf_event]`, or '' for anonymous memory. */
  path: string
  /** The path ends in ` (deleted)`, which stays in it. A file may truly have such a name: map_files decides. */
  deleted: boolean
  /**
   * A `\012` in the path was taken for a newline. maps escapes the newline alone and not the backslash, so that a file
   * named with those four characters looks the same: map_files decides.
   */
  escaped: boolean
}

/**
 * The mappings of a maps file, in its order, which is by address. No bytes (a kernel thread, a zombie) give none.
 * Throws a BardoError `bug` on anything that is not a maps file, and on one that was cut short.
 */
export function parseMaps(bytes: Uint8Array): Mapping[] {
  const cursor = new Cursor(bytes, 'maps')
  const mappings: Mapping[] = []
  const names = new Names(cursor)
  while (!cursor.atEnd) mappings.push(parseMapping(cursor, names))
  return mappings
}

/** Only the kernel's own mappings of a maps file, `[vvar]`, `[vdso]` and their like: the other lines are not looked at. */
export function parseSpecial(bytes: Uint8Array): Mapping[] {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  const found: Mapping[] = []
  for (let at = text.indexOf(' [v'); at >= 0; at = text.indexOf(' [v', at + 1)) {
    const start = text.lastIndexOf(NEWLINE, at) + 1
    const end = text.indexOf(NEWLINE, at) + 1
    const [mapping] = parseMaps(text.subarray(start, end === 0 ? text.length : end))
    if (mapping!.path.startsWith('[v')) found.push(mapping!)
  }
  return found
}

/** One line, `start-end rwxp pgoff major:minor ino   path`, as it also heads each entry of smaps. */
export function parseMapping(cursor: Cursor, names: Names): Mapping {
  const line = cursor.at
  const start = cursor.hex()
  cursor.expect(MINUS)
  const end = cursor.hex()
  if (start >= end || start % PAGE !== 0 || end % PAGE !== 0) cursor.fail('a range of whole pages', line)
  cursor.expect(SPACE)
  const prot = flag(cursor, R, PROT_READ) | flag(cursor, W, PROT_WRITE) | flag(cursor, X, PROT_EXEC)
  const shared = cursor.take(S)
  if (!shared) cursor.expect(P)
  cursor.expect(SPACE)
  const pgoffAt = cursor.at
  const pgoff_bytes = cursor.hex()
  if (pgoff_bytes % PAGE !== 0) cursor.fail('an offset of whole pages', pgoffAt)
  cursor.expect(SPACE)
  const major = cursor.hex()
  cursor.expect(COLON)
  const minor = cursor.hex()
  cursor.expect(SPACE)
  const ino = cursor.decimalAny()
  names.read()
  const { path, deleted, escaped } = names
  return { start, end, prot, shared, pgoff_bytes, major, minor, ino, path, deleted, escaped }
}

function flag(cursor: Cursor, letter: number, bit: number): number {
  if (cursor.take(letter)) return bit
  cursor.expect(MINUS)
  return 0
}

/**
 * Reads the names at the ends of the lines, and remembers the last: the segments of one library are neighbours,
 * so most names equal the one before and need no new string.
 */
export class Names {
  path = ''
  deleted = false
  escaped = false
  readonly #cursor: Cursor
  // Where the remembered name stands in the bytes.
  #from = 0
  #end = 0

  constructor(cursor: Cursor) {
    this.#cursor = cursor
  }

  /** Takes padding, name and newline; `path`, `deleted` and `escaped` are then this line's. */
  read(): void {
    const cursor = this.#cursor
    const { bytes } = cursor
    if (cursor.next !== NEWLINE) cursor.expect(SPACE)
    cursor.skip(SPACE)
    const from = cursor.at
    let end = from
    let backslash = false
    for (; end < bytes.length; end++) {
      const byte = bytes[end]!
      if (byte === NEWLINE) break
      if (byte === BACKSLASH) backslash = true
    }
    if (end === bytes.length) cursor.fail('the end of the line', end)
    cursor.at = end + 1
    if (!this.#isKnown(from, end)) this.#set(from, end, backslash)
    this.#from = from
    this.#end = end
  }

  #isKnown(from: number, end: number): boolean {
    const length = end - from
    if (length !== this.#end - this.#from) return false
    const { bytes } = this.#cursor
    // From the end: names in one folder differ late.
    for (let i = length - 1; i >= 0; i--) if (bytes[from + i] !== bytes[this.#from + i]) return false
    return true
  }

  #set(from: number, end: number, backslash: boolean): void {
    const { bytes } = this.#cursor
    this.path = backslash ? unescapeOctal(bytes, from, end, NEWLINE) : this.#text(from, end)
    // Undoing is the only way to a newline in the path, for the line ends at the first.
    this.escaped = backslash && this.path.includes('\n')
    this.deleted = this.path.endsWith(DELETED)
  }

  #text(from: number, end: number): string {
    this.#cursor.at = from
    const text = this.#cursor.text(end)
    this.#cursor.at = end + 1
    return text
  }
}
