// Shared anonymous memory: files of the kernel's own tmpfs, saved once however many mappings and processes have them.
import { BardoError } from '../../base/errors.ts'
import type { pagemap_entry } from '../../image/messages/mm.ts'
import type { ImageWriter } from '../../image/writer.ts'
import { AT_EMPTY_PATH, AT_FDCWD, ENXIO, O_CLOEXEC, O_RDONLY, PAGE_SIZE, SEEK_SET } from '../../linux/constants.ts'
import { OpenFile, must, refusal, statOf, sys } from '../../linux/sys.ts'
import { PE } from './pages.ts'

const SEEK_DATA = 3
const SEEK_HOLE = 4
const CHUNK = 0x7ffff000

/** The ranges of a file that are not holes, in whole pages. Holes stay holes: a sparse gigabyte costs nothing. */
function dataRanges(fd: number, size: number): { start: number; end: number }[] {
  const ranges: { start: number; end: number }[] = []
  for (let at = 0; at < size;) {
    const start = sys('lseek', fd, at, SEEK_DATA)
    if (start === -ENXIO) break
    if (start < 0) throw refusal('lseek', start, fd, at, SEEK_DATA)
    const end = must('lseek', fd, start, SEEK_HOLE)
    const range = { start: Math.floor(start / PAGE_SIZE) * PAGE_SIZE, end: Math.ceil(end / PAGE_SIZE) * PAGE_SIZE }
    const last = ranges.at(-1)
    if (last !== undefined && last.end >= range.start) last.end = range.end
    else ranges.push(range)
    at = end
  }
  return ranges
}

/**
 * Saves the shared memory behind a mapping of a stopped process as pagemap-shmem-ID.img and pages-N.img; the pages written.
 * `range` is the mapping's name in map_files, which opens the memory itself.
 */
export function saveSharedMemory(images: ImageWriter, pid: number, range: string, id: number, pagesId: number): number {
  const opened = sys('openat', AT_FDCWD, `/proc/${pid}/map_files/${range}`, O_RDONLY | O_CLOEXEC)
  if (opened < 0)
    throw new BardoError('refused', 'cannot open the shared memory of a process', {
      where: `pid ${pid}, mapping ${range}`,
      errno: -opened,
      hint: 'map_files needs CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE',
    })
  using file = new OpenFile(opened)
  return saveContents(images, file.fd, id, pagesId)
}

/** The same of a file of memory that we have open, for whatever: its position stays. */
export function saveMemoryFile(images: ImageWriter, fd: number, id: number, pagesId: number): number {
  using file = new OpenFile(must('openat', AT_FDCWD, `/proc/self/fd/${fd}`, O_RDONLY | O_CLOEXEC))
  return saveContents(images, file.fd, id, pagesId)
}

function saveContents(images: ImageWriter, fd: number, id: number, pagesId: number): number {
  const stat = statOf(fd, '', AT_EMPTY_PATH)
  if (typeof stat === 'number') throw refusal('newfstatat', stat, fd)
  const ranges = dataRanges(fd, stat.size)
  using pages = new OpenFile(images.createRaw(`pages-${pagesId}.img`))
  let total = 0
  const entries: pagemap_entry[] = []
  for (const { start, end } of ranges) {
    entries.push({
      vaddr: BigInt(start),
      compat_nr_pages: 0,
      flags: PE.PRESENT,
      nr_pages: BigInt((end - start) / PAGE_SIZE),
    })
    must('lseek', fd, start, SEEK_SET)
    for (let left = end - start; left > 0;) {
      const n = sys('sendfile', pages.fd, fd, 0, Math.min(left, CHUNK))
      if (n < 0) throw refusal('sendfile', n, pages.fd, fd)
      if (n === 0) {
        // The memory ends within its last page: the rest of that page reads as zeros.
        must('ftruncate', pages.fd, total + end - start)
        must('lseek', pages.fd, total + end - start, SEEK_SET)
        break
      }
      left -= n
    }
    total += end - start
  }
  images.add('SHMEM_PAGEMAP', [id], { pages_id: pagesId })
  images.addAll('SHMEM_PAGEMAP', [id], entries)
  return total / PAGE_SIZE
}
