// The PROCMAP_QUERY ioctl on /proc/PID/maps: one mapping as a struct instead of a line (Linux 6.11,
// include/uapi/linux/fs.h). Its names come raw: unlike in maps, a newline is not escaped. It knows nothing of
// [vsyscall], which is in no process's map.
import { textOf } from '../../base/bytes.ts'
import { BardoError } from '../../base/errors.ts'
import type { Mapping } from './maps.ts'
import { getU64, setU64 } from './u64.ts'

/** _IOWR('f', 17, struct procmap_query). Fails with ENOENT when no mapping matches. */
export const PROCMAP_QUERY = 0xc0686611

/** Size in bytes of struct procmap_query. */
export const PROCMAP_QUERY_BYTES = 104

/** Room that holds every name: the kernel gives no more than PATH_MAX, and ENAMETOOLONG for a longer one. */
export const PROCMAP_NAME_BYTES = 4096
/** Room that holds every build id (BUILD_ID_SIZE_MAX). */
export const PROCMAP_BUILD_ID_BYTES = 20

/**
 * In a question: only mappings that have all of these. In an answer, `vma_flags`. They are PROT_READ, _WRITE and _EXEC.
 */
export const PROCMAP_QUERY_VMA_READABLE = 0x01
export const PROCMAP_QUERY_VMA_WRITABLE = 0x02
export const PROCMAP_QUERY_VMA_EXECUTABLE = 0x04
export const PROCMAP_QUERY_VMA_SHARED = 0x08
/** The mapping that holds the address, or else the next above it. */
export const PROCMAP_QUERY_COVERING_OR_NEXT_VMA = 0x10
/** Only mappings of files. */
export const PROCMAP_QUERY_FILE_BACKED_VMA = 0x20

// Offsets in struct procmap_query.
const [SIZE, QUERY_FLAGS, QUERY_ADDR, VMA_START, VMA_END, VMA_FLAGS] = [0, 8, 16, 24, 32, 40]
const [VMA_PAGE_SIZE, VMA_OFFSET, INODE, DEV_MAJOR, DEV_MINOR] = [48, 56, 64, 72, 76]
const [VMA_NAME_SIZE, BUILD_ID_SIZE, VMA_NAME_ADDR, BUILD_ID_ADDR] = [80, 84, 88, 96]

const PROT_BITS = PROCMAP_QUERY_VMA_READABLE | PROCMAP_QUERY_VMA_WRITABLE | PROCMAP_QUERY_VMA_EXECUTABLE

export type ProcmapQuestion = {
  address: number
  /** PROCMAP_QUERY_*. */
  flags: number
  /** Address and size of room for the name, in memory that the kernel may write; a size of 0 asks for none. */
  nameAt?: number
  nameSize?: number
  /** The same for the build id of the mapped ELF file, which costs reading that file. */
  buildIdAt?: number
  buildIdSize?: number
}

/**
 * Writes a struct procmap_query at offset `at` of `view`. The kernel overwrites sizes, so every call needs this anew.
 */
export function encodeProcmapQuery(view: DataView, at: number, question: ProcmapQuestion): void {
  const [nameSize, buildIdSize] = [question.nameSize ?? 0, question.buildIdSize ?? 0]
  setU64(view, at + SIZE, PROCMAP_QUERY_BYTES)
  setU64(view, at + QUERY_FLAGS, question.flags)
  setU64(view, at + QUERY_ADDR, question.address)
  for (let word = VMA_START; word < VMA_NAME_SIZE; word += 8) setU64(view, at + word, 0)
  view.setUint32(at + VMA_NAME_SIZE, nameSize, true)
  view.setUint32(at + BUILD_ID_SIZE, buildIdSize, true)
  // EINVAL, if an address comes without a size or the other way round.
  setU64(view, at + VMA_NAME_ADDR, nameSize === 0 ? 0 : (question.nameAt ?? 0))
  setU64(view, at + BUILD_ID_ADDR, buildIdSize === 0 ? 0 : (question.buildIdAt ?? 0))
}

/** A mapping as PROCMAP_QUERY tells it. */
export type QueriedMapping = Mapping & {
  /** The size of its pages: more than 4096 for hugetlb. */
  page_size_bytes: number
  /** Bytes of build id that were written; 0 without one, or when none was asked for. */
  buildIdSize: number
}

/**
 * The answer at offset `at`; `name` is the room that was given for the name (empty if none was).
 * Throws a BardoError `bug` if the answer's size of the name does not fit that room.
 */
export function decodeProcmapQuery(view: DataView, at: number, name: Uint8Array): QueriedMapping {
  const flags = getU64(view, at + VMA_FLAGS)
  // With its closing NUL; 0 for a mapping without a name.
  const nameSize = view.getUint32(at + VMA_NAME_SIZE, true)
  if (nameSize > name.length)
    throw new BardoError('bug', `PROCMAP_QUERY: a name of ${nameSize} bytes in room for ${name.length}`)
  const path = nameSize === 0 ? '' : textOf(name.subarray(0, nameSize - 1))
  const ino = getU64(view, at + INODE)
  return {
    start: getU64(view, at + VMA_START),
    end: getU64(view, at + VMA_END),
    prot: flags & PROT_BITS,
    shared: (flags & PROCMAP_QUERY_VMA_SHARED) !== 0,
    pgoff_bytes: getU64(view, at + VMA_OFFSET),
    major: view.getUint32(at + DEV_MAJOR, true),
    minor: view.getUint32(at + DEV_MINOR, true),
    ino: Number.isSafeInteger(ino) ? ino : view.getBigUint64(at + INODE, true),
    path,
    deleted: path.endsWith(' (deleted)'),
    escaped: false,
    page_size_bytes: getU64(view, at + VMA_PAGE_SIZE),
    buildIdSize: view.getUint32(at + BUILD_ID_SIZE, true),
  }
}
