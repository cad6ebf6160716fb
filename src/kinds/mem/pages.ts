// The pages of a process: which of them are its own, and their way into the image. Data never passes through JavaScript:
// the process writes its pages itself (one copy, in the kernel), or the kernel copies them to our mapped buffer.
import { BardoError } from '../../base/errors.ts'
import { progress } from '../../base/progress.ts'
import { interrupted } from '../../base/interrupt.ts'
import { once } from '../../base/run.ts'
import type { pagemap_entry } from '../../image/messages/mm.ts'
import type { ImageWriter } from '../../image/writer.ts'
import { AT_FDCWD, O_CLOEXEC, O_RDONLY, PAGE_SIZE, PROT_READ } from '../../linux/constants.ts'
import { Arena, syscall } from '../../linux/ffi.ts'
import { NR } from '../../linux/nr.ts'
import {
  PAGEMAP_SCAN,
  PAGE_IS_FILE,
  PAGE_IS_PFNZERO,
  PAGE_IS_PRESENT,
  PAGE_IS_SWAPPED,
  PAGE_REGION_BYTES,
  PM_SCAN_ARG_BYTES,
  encodePmScanArg,
} from '../../linux/proc/pagemap-scan.ts'
import { getU64 } from '../../linux/proc/u64.ts'
import { OpenFile, must, refusal } from '../../linux/sys.ts'
import { LentFile } from '../../tracee/lend.ts'
import type { Remote } from '../../tracee/remote.ts'
import type { Thread } from '../../tracee/stopped.ts'
import { STATUS, hasOwnPages, type Saved } from './mappings.ts'

/** Bits of pagemap_entry.flags. */
export const PE = { PARENT: 1, LAZY: 2, PRESENT: 4 } as const

/** Pages that lie together in memory and in the file. Addresses and offsets in bytes. */
export type PageRun = { start: number; end: number; lazy: boolean; readable: boolean }

const REGIONS_MAX = 8192
const scanArena = new Arena(PM_SCAN_ARG_BYTES + 64 + REGIONS_MAX * PAGE_REGION_BYTES)
const argAt = scanArena.take(PM_SCAN_ARG_BYTES)
const regionsAt = scanArena.take(REGIONS_MAX * PAGE_REGION_BYTES)

/**
 * The pages that only this process (and its relatives by fork) has: private memory that was written, on swap included.
 * Pages of files, of shared memory and the zero page are not among them.
 */
export function findPages(pid: number, saved: readonly Saved[]): PageRun[] {
  const own = saved.filter(({ vma }) => hasOwnPages(vma))
  const runs: PageRun[] = []
  if (own.length === 0) return runs
  using pagemap = new OpenFile(must('openat', AT_FDCWD, `/proc/${pid}/pagemap`, O_RDONLY | O_CLOEXEC))
  let index = 0
  const last = own.at(-1)!.source.end
  for (let start = own[0]!.source.start; start < last;) {
    encodePmScanArg(scanArena.view, argAt - scanArena.address, {
      start,
      end: last,
      regionsAt,
      regionsMax: REGIONS_MAX,
      inverted: PAGE_IS_FILE | PAGE_IS_PFNZERO,
      mask: PAGE_IS_FILE | PAGE_IS_PFNZERO,
      anyOf: PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
      returns: 0,
    })
    const count = syscall(NR.ioctl, pagemap.fd, PAGEMAP_SCAN, argAt)
    if (count < 0)
      throw new BardoError('refused', 'cannot find the pages of the process (PAGEMAP_SCAN)', {
        errno: -count,
        where: `pid ${pid}`,
        hint: 'Linux 6.7 or newer is needed',
      })
    for (let region = 0; region < count; region++) {
      const at = regionsAt - scanArena.address + region * PAGE_REGION_BYTES
      start = getU64(scanArena.view, at + 8)
      index = addRegion(runs, own, index, getU64(scanArena.view, at), start)
    }
    // Where the walk ended is told by the last region, not by walk_end: Linux 6.7 to 6.18 leave that where an inner
    // buffer of 512 regions was last full, behind which regions are then told twice (test/kernel/pagemap-scan-walk-end).
    if (count < REGIONS_MAX) break
  }
  return withVdso(runs, saved)
}

/** Adds what of a region lies in `own` mappings, from number `index` on; the number to go on with. */
function addRegion(runs: PageRun[], own: readonly Saved[], index: number, start: number, end: number): number {
  while (index < own.length && own[index]!.source.end <= start) index++
  for (let next = index; next < own.length && own[next]!.source.start < end; next++) {
    const { vma, source } = own[next]!
    const run = {
      start: Math.max(start, source.start),
      end: Math.min(end, source.end),
      lazy: (vma.status & STATUS.ANON_PRIVATE) !== 0 && (vma.status & STATUS.VDSO) === 0,
      readable: (source.prot & PROT_READ) !== 0,
    }
    const before = runs.at(-1)
    if (
      before !== undefined &&
      before.end === run.start &&
      before.lazy === run.lazy &&
      before.readable === run.readable
    )
      before.end = run.end
    else runs.push(run)
  }
  return index
}

/** The vdso's pages are the kernel's, but belong into the image: a restore compares them with its own. */
function withVdso(runs: PageRun[], saved: readonly Saved[]): PageRun[] {
  const vdso = saved.find(({ vma }) => (vma.status & STATUS.VDSO) !== 0)?.source
  if (vdso === undefined) return runs
  const others = runs.filter(run => run.end <= vdso.start || run.start >= vdso.end)
  const at = others.findIndex(run => run.start >= vdso.end)
  others.splice(at < 0 ? others.length : at, 0, { start: vdso.start, end: vdso.end, lazy: false, readable: true })
  return others
}

export const pagemapEntries = (runs: readonly PageRun[]): pagemap_entry[] =>
  runs.map(run => ({
    vaddr: BigInt(run.start),
    compat_nr_pages: 0,
    flags: PE.PRESENT | (run.lazy ? PE.LAZY : 0),
    nr_pages: BigInt((run.end - run.start) / PAGE_SIZE),
  }))

/** Below this much, copying through our buffer costs less than lending the process a file. */
const THROUGH_US_MAX = 1 << 20
const BUFFER_SIZE = 4 << 20
const IOV_MAX = 1024
/** Room in the scratch memory for two calls' worth of iovecs. */
export const SCRATCH_FOR_PAGES = 2 * IOV_MAX * 16 + 8192

const buffer = once(() => new Arena(BUFFER_SIZE))

type PlacedRun = { readonly start: number; readonly end: number; readonly offset: number }

/** Writes `length` bytes of our memory to a file. */
function writeAt(file: number, address: number, length: number, offset: number): void {
  for (let done = 0; done < length;) {
    const n = syscall(NR.pwrite64, file, address + done, length - done, offset + done)
    if (n <= 0) throw writeError(n)
    done += n
  }
}

/** Reads memory of a process, through any protection, by its open /proc/PID/mem. */
function readFrom(mem: number, pid: number, start: number, length: number, address: number): number {
  const n = syscall(NR.pread64, mem, address, length, start)
  if (n <= 0) throw refusal('pread64', n, `/proc/${pid}/mem`, length, start)
  return n
}

const openMemory = (pid: number): OpenFile =>
  new OpenFile(must('openat', AT_FDCWD, `/proc/${pid}/mem`, O_RDONLY | O_CLOEXEC))

const kept = once(() => new Arena(BUFFER_SIZE))

/**
 * Copies of the memory of small processes, which are put into files when there is time: creating one and finding room for
 * it on the disk takes longer than the copy, and a tree that runs on need not wait for it.
 */
export class KeptPages {
  readonly #images: ImageWriter
  readonly #files: { readonly name: string; readonly at: number; readonly length: number }[] = []
  #used = 0

  constructor(images: ImageWriter) {
    this.#images = images
  }

  /** Copies runs, `length` bytes in all, for file `name`. What was kept before is written where room is needed. */
  keep(name: string, pid: number, runs: readonly PlacedRun[], length: number): void {
    if (this.#used + length > BUFFER_SIZE) this.write()
    const at = kept().address + this.#used
    using mem = openMemory(pid)
    for (const { start, end, offset } of runs)
      for (let done = 0; done < end - start;)
        done += readFrom(mem.fd, pid, start + done, end - start - done, at + offset + done)
    this.#files.push({ name, at, length })
    this.#used += length
  }

  write(): void {
    for (const { name, at, length } of this.#files.splice(0)) {
      using file = new OpenFile(this.#images.createRaw(name))
      writeAt(file.fd, at, length, 0)
    }
    this.#used = 0
  }
}

/** Copies runs that the process cannot or need not write itself. /proc/PID/mem reads through any protection. */
function copyThroughUs(pid: number, runs: readonly PlacedRun[], file: number): void {
  if (runs.length === 0) return
  const { address } = buffer()
  using mem = openMemory(pid)
  let filled = 0
  let offset = runs[0]!.offset
  const flush = (): void => {
    writeAt(file, address, filled, offset)
    offset += filled
    filled = 0
  }
  for (const run of runs) {
    if (offset + filled !== run.offset) {
      flush()
      offset = run.offset
    }
    for (let at = run.start; at < run.end;) {
      if (filled === BUFFER_SIZE) flush()
      const part = Math.min(run.end - at, BUFFER_SIZE - filled)
      const n = readFrom(mem.fd, pid, at, part, address + filled)
      at += n
      filled += n
    }
  }
  flush()
}

function writeError(n: number): BardoError {
  return new BardoError('refused', 'cannot write pages to the image', {
    errno: n < 0 ? -n : 28,
    hint: n === -28 || n === 0 ? 'make room, or name another directory with -D' : undefined,
  })
}

/** Lets the process write its own pages, as many calls a stop as the scratch memory has room for. */
function writeThemselves(
  remote: Remote,
  thread: Thread,
  runs: readonly { start: number; end: number; offset: number }[],
  file: number,
  total: number,
): void {
  using lent = new LentFile(remote, thread, file)
  let next = 0
  let skip = 0 // bytes of runs[next] that are written
  while (next < runs.length) {
    if (interrupted() !== 0) throw new BardoError('refused', 'interrupted', { hint: 'the processes run on' })
    using table = remote.table(thread, remote.start, remote.end)
    lent.protect(table)
    const planned: { call: number; bytes: number }[] = []
    for (let calls = 0; calls < 2 && next < runs.length; calls++) {
      const first = runs[next]!
      const offset = first.offset + skip
      const words: number[] = []
      let bytes = 0
      while (next < runs.length && words.length < 2 * IOV_MAX && bytes < MAX_CALL_BYTES) {
        const run = runs[next]!
        if (run.offset + skip !== offset + bytes) break
        const part = Math.min(run.end - run.start - skip, MAX_CALL_BYTES - bytes)
        words.push(run.start + skip, part)
        bytes += part
        skip += part
        if (run.start + skip === run.end) {
          next++
          skip = 0
        }
      }
      const iov = table.words(words)
      planned.push({
        call: table.call('pwritev', [lent.fd, iov, words.length / 2, offset, 0], { mayFail: true }),
        bytes,
      })
    }
    table.run()
    for (const { call, bytes } of planned) {
      const n = table.result(call)
      // The kernel writes all or says why not; a short write means that the disk is full.
      if (n !== bytes) throw writeError(n < 0 ? n : -28)
    }
    progress.bytes(next < runs.length ? runs[next]!.offset + skip : total, total)
  }
}

/** The kernel writes at most this much in one call (MAX_RW_COUNT), a whole number of pages. */
const MAX_CALL_BYTES = 0x7ffff000

/** Writes pagemap-PID.img and pages-N.img of a process, or keeps what is little; the number of pages. */
export function savePages(
  images: ImageWriter,
  small: KeptPages,
  pid: number,
  imagePid: number,
  pagesId: number,
  remote: Remote,
  thread: Thread,
  runs: readonly PageRun[],
): number {
  images.add('PAGEMAP', [imagePid], { pages_id: pagesId })
  images.addAll('PAGEMAP', [imagePid], pagemapEntries(runs))
  let total = 0
  const placed = runs.map(run => {
    const offset = total
    total += run.end - run.start
    return { ...run, offset }
  })
  progress.bytes(0, total)
  const name = `pages-${pagesId}.img`
  if (total <= THROUGH_US_MAX) {
    small.keep(name, pid, placed, total)
    return total / PAGE_SIZE
  }
  using file = new OpenFile(images.createRaw(name))
  const unreadable = placed.filter(run => !run.readable)
  const readable = placed.filter(run => run.readable)
  copyThroughUs(pid, unreadable, file.fd)
  try {
    writeThemselves(remote, thread, readable, file.fd, total)
  } catch (error) {
    // No room for three more descriptors: then through us after all.
    if (!(error instanceof BardoError) || error.errno !== 24) throw error
    copyThroughUs(pid, readable, file.fd)
  }
  return total / PAGE_SIZE
}
