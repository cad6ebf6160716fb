// System calls made by ourselves, by name: strings and bytes are laid out for the kernel, answers checked.
import { bytesOf, textOf } from '../base/bytes.ts'
import { BardoError } from '../base/errors.ts'
import { EINTR } from './constants.ts'
import { Arena, syscall, type Word } from './ffi.ts'
import { NR, type CallName } from './nr.ts'

/** An argument: a word, a string (NUL-terminated bytes for the kernel) or bytes (copied; the kernel's writes are lost). */
export type Argument = Word | string | Uint8Array

const SCRATCH_SIZE = 256 << 10

/** Scratch memory for single calls and small results. Whoever takes from it releases within the same function. */
export const scratch = new Arena(SCRATCH_SIZE)

function word(argument: Argument): Word {
  if (typeof argument === 'number' || typeof argument === 'bigint') return argument
  if (typeof argument !== 'string') return scratch.put(argument)
  const bytes = bytesOf(argument)
  const at = scratch.take(bytes.length + 1)
  scratch.at(at, bytes.length).set(bytes)
  return at
}

/** Makes the call `name`; the result or `-errno`. EINTR is not retried: some calls must not be. */
export function sys(
  name: CallName,
  a0: Argument = 0,
  a1: Argument = 0,
  a2: Argument = 0,
  a3: Argument = 0,
  a4: Argument = 0,
  a5: Argument = 0,
): number {
  const mark = scratch.mark()
  const result = syscall(NR[name], word(a0), word(a1), word(a2), word(a3), word(a4), word(a5))
  scratch.release(mark)
  return result
}

const shown = (argument: Argument): string =>
  typeof argument === 'string'
    ? JSON.stringify(argument)
    : typeof argument === 'object'
      ? `<${argument.length} bytes>`
      : typeof argument === 'number' && Math.abs(argument) > 0xffff
        ? `0x${argument.toString(16)}`
        : String(argument)

/** The error for call `name` that answered `result` (`-errno`). */
export function refusal(name: CallName, result: number, ...args: Argument[]): BardoError {
  return new BardoError('refused', `${name}(${args.map(shown).join(', ')}) failed`, { errno: -result })
}

/** `sys`, throwing `refused` when the kernel says no. */
export function must(
  name: CallName,
  a0: Argument = 0,
  a1: Argument = 0,
  a2: Argument = 0,
  a3: Argument = 0,
  a4: Argument = 0,
  a5: Argument = 0,
): number {
  const result = sys(name, a0, a1, a2, a3, a4, a5)
  if (result < 0) throw refusal(name, result, a0, a1, a2, a3, a4, a5)
  return result
}

/** An open file of ours that closes itself: `using file = new OpenFile(fd)`. */
export class OpenFile {
  readonly fd: number

  constructor(fd: number) {
    this.fd = fd
  }

  [Symbol.dispose](): void {
    syscall(NR.close, this.fd)
  }
}

const READ_SIZE = 256 << 10
const PAGE_OF_RECORDS = 3072
const readBuffer = new Arena(READ_SIZE)

/** Reads what is left of `fd`, whatever its length: files of /proc have no size. Throws `refused`. */
export function readAll(fd: number, what: string, once = false): Uint8Array {
  const pieces: Uint8Array[] = []
  let total = 0
  for (;;) {
    const n = syscall(NR.read, fd, readBuffer.address, READ_SIZE)
    if (n === -EINTR) continue
    if (n < 0) throw new BardoError('refused', `read of ${what} failed`, { errno: -n })
    if (n === 0) break
    pieces.push(readBuffer.bytes.slice(0, n))
    total += n
    if (once && n < PAGE_OF_RECORDS) break
  }
  if (pieces.length === 1) return pieces[0]!
  const all = new Uint8Array(total)
  let at = 0
  for (const piece of pieces) {
    all.set(piece, at)
    at += piece.length
  }
  return all
}

/**
 * `readFile` of a file of /proc that has one record (status, stat, limits, fdinfo), or whose records are short (children, timers): one
 * read mostly brings it all. The kernel fills a page of records at a time (fs/seq_file.c), so that less is the end.
 */
export function readOnce(dirfd: number, path: string, absent: readonly number[] = []): Uint8Array | undefined {
  return readFile(dirfd, path, absent, true)
}

/** Opens and reads a whole file; `undefined` when the kernel answers one of `absent` (errnos). */
export function readFile(
  dirfd: number,
  path: string,
  absent: readonly number[] = [],
  once = false,
): Uint8Array | undefined {
  const fd = sys('openat', dirfd, path, 0o2000000)
  if (fd < 0) {
    if (absent.includes(-fd)) return undefined
    throw refusal('openat', fd, dirfd, path)
  }
  using file = new OpenFile(fd)
  return readAll(file.fd, path, once)
}

/** Reads a symbolic link's target; `-errno` when it cannot. Bytes, since names of files are bytes. */
export function readLink(dirfd: number, path: string): Uint8Array | number {
  const mark = scratch.mark()
  try {
    const at = scratch.take(4096)
    const n = sys('readlinkat', dirfd, path, at, 4096)
    return n < 0 ? n : scratch.at(at, n).slice()
  } finally {
    scratch.release(mark)
  }
}

/** The entries of a directory, without `.` and `..`, in the kernel's order. */
export function readDirectory(dirfd: number, path: string): string[] {
  using directory = new OpenFile(must('openat', dirfd, path, 0o2200000))
  const names: string[] = []
  for (;;) {
    const n = syscall(NR.getdents64, directory.fd, readBuffer.address, READ_SIZE)
    if (n < 0) throw refusal('getdents64', n, path)
    if (n === 0) return names
    for (let at = 0; at < n;) {
      const length = readBuffer.view.getUint16(at + 16, true)
      let end = at + 19
      while (readBuffer.bytes[end] !== 0) end++
      const name = textOf(readBuffer.bytes.subarray(at + 19, end))
      if (name !== '.' && name !== '..') names.push(name)
      at += length
    }
  }
}

/** What `fstat` tells (struct stat). `ino` and `size` are exact below 2^53. */
export type Stat = {
  readonly dev: number
  readonly ino: number
  readonly nlink: number
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly rdev: number
  readonly size: number
}

/** Reads `struct stat` from `at` of our own memory (asm/stat.h). */
function statAt(at: number): Stat {
  const view = new DataView(scratch.bytes.buffer, at - scratch.address, 144)
  const u64 = (offset: number): number => Number(view.getBigUint64(offset, true))
  return {
    dev: u64(0),
    ino: u64(8),
    nlink: u64(16),
    mode: view.getUint32(24, true),
    uid: view.getUint32(28, true),
    gid: view.getUint32(32, true),
    rdev: u64(40),
    size: u64(48),
  }
}

/** `newfstatat(dirfd, path, flags)`, or `-errno`. AT_EMPTY_PATH with `''` asks about the descriptor itself. */
export function statOf(dirfd: number, path: string, flags: number): Stat | number {
  const mark = scratch.mark()
  try {
    const at = scratch.take(144)
    const result = sys('newfstatat', dirfd, path, at, flags)
    return result < 0 ? result : statAt(at)
  } finally {
    scratch.release(mark)
  }
}

/** A device number as `st_dev` and `st_rdev` hold it in user space, in the kernel's own 32-bit form (kdev, as CRIU's images have it). */
export const major = (dev: number): number => ((dev >> 8) & 0xfff) | (Math.floor(dev / 0x1000_0000_0000) << 12)
export const minor = (dev: number): number => (dev & 0xff) | ((dev >>> 12) & 0xfff00)
