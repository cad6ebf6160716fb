// The files of pages of an image, looked at to find what a child shares with its parent: compared in place, by mapping
// them; never copied.
import { BardoError } from '../base/errors.ts'
import type { ImageDirectory } from '../image/directory.ts'
import { MADV_DONTNEED, MAP_SHARED, PAGE_SIZE, PROT_READ } from '../linux/constants.ts'
import { bytesAt, syscall } from '../linux/ffi.ts'
import { NR } from '../linux/nr.ts'
import { OpenFile, must } from '../linux/sys.ts'
import type { PageRun } from './load.ts'

type Mapped = { readonly address: number; readonly size: number }
export type Range = { start: number; end: number }

export class PagesFiles {
  readonly #images: ImageDirectory
  readonly #mapped = new Map<number, Mapped>()
  /** Mappings with pages that are in our memory, since they were looked at, and about how many bytes of them. */
  readonly #touched = new Set<Mapped>()
  #touchedBytes = 0

  constructor(images: ImageDirectory) {
    this.#images = images
  }

  #map(pagesId: number): Mapped {
    const known = this.#mapped.get(pagesId)
    if (known !== undefined) return known
    using file = new OpenFile(this.#images.openRaw(`pages-${pagesId}.img`))
    const size = must('lseek', file.fd, 0, 2)
    const address = size === 0 ? 0 : must('mmap', 0, size, PROT_READ, MAP_SHARED, file.fd, 0)
    const mapped = { address, size }
    this.#mapped.set(pagesId, mapped)
    return mapped
  }

  /** A view of the bytes of a run; it is valid until this is disposed of. Throws `bad-image` beyond the file's end. */
  bytes(pagesId: number, offset: number, length: number): Uint8Array {
    const { address, size } = this.#map(pagesId)
    if (offset + length > size)
      throw new BardoError('bad-image', `pages-${pagesId}.img is shorter than its pagemap says`, {
        why: `${offset + length} bytes are needed, it has ${size}`,
        hint: 'the dump or its copy is not complete',
      })
    return bytesAt(address + offset, length)
  }

  /** Notes that pages were looked at, and lets go of all when they are many: we must not grow with the tree. */
  #touch(length: number, ...files: number[]): void {
    for (const id of files) this.#touched.add(this.#map(id))
    this.#touchedBytes += files.length * Math.max(length, FAULT_AROUND)
    if (this.#touchedBytes < TOUCHED_MAX) return
    for (const { address, size } of this.#touched) syscall(NR.madvise, address, size, MADV_DONTNEED)
    this.#touched.clear()
    this.#touchedBytes = 0
  }

  /**
   * What a child must write to go from its parent's pages of one mapping to its own, and which of the parent's pages it
   * must drop. Pages that are equal are left alone, and so stay shared (copy on write).
   */
  differences(
    mineId: number,
    mine: readonly PageRun[],
    theirsId: number,
    theirs: readonly PageRun[],
  ): { write: PageRun[]; drop: Range[] } {
    const write: PageRun[] = []
    const drop: Range[] = []
    let index = 0
    const dropUpTo = (from: number, end: number): void => {
      // Pages of the parent in [from, end) that the child has not.
      for (let at = index; at < theirs.length && theirs[at]!.start < end; at++) {
        const start = Math.max(theirs[at]!.start, from)
        const stop = Math.min(theirs[at]!.end, end)
        if (start < stop) drop.push({ start, end: stop })
      }
    }
    let last = 0
    for (const run of mine) {
      dropUpTo(last, run.start)
      last = run.end
      let at = run.start
      while (at < run.end) {
        while (index < theirs.length && theirs[index]!.end <= at) index++
        const other = theirs[index]
        if (other === undefined || other.start >= run.end) {
          add(write, run, at, run.end)
          break
        }
        if (other.start > at) add(write, run, at, other.start)
        const from = Math.max(at, other.start)
        const to = Math.min(run.end, other.end)
        this.#compare(mineId, run, theirsId, other, from, to, write)
        at = to
      }
    }
    dropUpTo(last, Number.MAX_SAFE_INTEGER)
    return { write, drop }
  }

  #compare(
    mineId: number,
    mine: PageRun,
    theirsId: number,
    theirs: PageRun,
    from: number,
    to: number,
    write: PageRun[],
  ): void {
    // In windows: neither views nor what is in memory may grow with the mapping.
    for (let at = from; at < to; at += WINDOW) {
      const length = Math.min(WINDOW, to - at)
      this.#touch(length, mineId, theirsId)
      const a = this.bytes(mineId, mine.offset + at - mine.start, length)
      const b = this.bytes(theirsId, theirs.offset + at - theirs.start, length)
      if (Buffer.compare(a, b) === 0) continue
      for (let page = 0; page < length; page += PAGE_SIZE)
        if (Buffer.compare(a.subarray(page, page + PAGE_SIZE), b.subarray(page, page + PAGE_SIZE)) !== 0)
          add(write, mine, at + page, at + page + PAGE_SIZE)
    }
  }

  [Symbol.dispose](): void {
    for (const { address, size } of this.#mapped.values()) if (size > 0) syscall(NR.munmap, address, size)
    this.#mapped.clear()
  }
}

/** Bytes that are compared at once. */
const WINDOW = 4 << 20
/** A page that is looked at brings its neighbours (fault_around_bytes of mm/memory.c). */
const FAULT_AROUND = 64 << 10
const TOUCHED_MAX = 16 << 20

/** Adds [start, end) of `run`, joined to the last one where they meet. */
function add(list: PageRun[], run: PageRun, start: number, end: number): void {
  if (start >= end) return
  const offset = run.offset + start - run.start
  const last = list.at(-1)
  if (last !== undefined && last.end === start && last.offset + last.end - last.start === offset)
    list[list.length - 1] = { start: last.start, end, offset: last.offset }
  else list.push({ start, end, offset })
}
