// /proc/PID/pagemap: which pages of a process are there, dirty, on swap. Two ways to ask: the PAGEMAP_SCAN ioctl
// (Linux 6.7, include/uapi/linux/fs.h), which answers in ranges, and reading one 64-bit entry a page
// (Documentation/admin-guide/mm/pagemap.rst).
import { BardoError } from '../../base/errors.ts'
import { getU64, setU64 } from './u64.ts'

/** _IOWR('f', 16, struct pm_scan_arg). */
export const PAGEMAP_SCAN = 0xc0606610

/** Sizes in bytes of struct pm_scan_arg and struct page_region. */
export const PM_SCAN_ARG_BYTES = 96
export const PAGE_REGION_BYTES = 24

/** `flags` of the scan: write-protect what matched; fail with EPERM on memory without asynchronous write-protection. */
export const PM_SCAN_WP_MATCHING = 1
export const PM_SCAN_CHECK_WPASYNC = 2

/** Categories of pages. */
export const PAGE_IS_WPALLOWED = 1
export const PAGE_IS_WRITTEN = 2
export const PAGE_IS_FILE = 4
export const PAGE_IS_PRESENT = 8
export const PAGE_IS_SWAPPED = 16
export const PAGE_IS_PFNZERO = 32
export const PAGE_IS_HUGE = 64
export const PAGE_IS_SOFT_DIRTY = 128
/** Linux 6.16. */
export const PAGE_IS_GUARD = 256

// Offsets in struct pm_scan_arg.
const [SIZE, FLAGS, START, END, WALK_END, VEC, VEC_LEN, MAX_PAGES] = [0, 8, 16, 24, 32, 40, 48, 56]
const [INVERTED, MASK, ANYOF, RETURN] = [64, 72, 80, 88]

/**
 * What to look for: a page matches if `(categories ^ inverted)` has all of `mask` and, unless that is 0, one of
 * `anyOf`.
 */
export type PageScan = {
  /** Addresses, whole pages. */
  start: number
  end: number
  /** PM_SCAN_*. */
  flags?: number
  /** Address of room for `regionsMax` structs page_region, in memory that the kernel may write; 0 to get none. */
  regionsAt: number
  regionsMax: number
  /** Stop after so many pages; 0 for no such limit. */
  pagesMax?: number
  inverted?: number
  mask?: number
  anyOf?: number
  /** The categories to tell, by which the ranges are also parted. */
  returns: number
}

/** Writes a struct pm_scan_arg at offset `at` of `view`. */
export function encodePmScanArg(view: DataView, at: number, scan: PageScan): void {
  setU64(view, at + SIZE, PM_SCAN_ARG_BYTES)
  setU64(view, at + FLAGS, scan.flags ?? 0)
  setU64(view, at + START, scan.start)
  setU64(view, at + END, scan.end)
  setU64(view, at + WALK_END, 0)
  setU64(view, at + VEC, scan.regionsAt)
  setU64(view, at + VEC_LEN, scan.regionsMax)
  setU64(view, at + MAX_PAGES, scan.pagesMax ?? 0)
  setU64(view, at + INVERTED, scan.inverted ?? 0)
  setU64(view, at + MASK, scan.mask ?? 0)
  setU64(view, at + ANYOF, scan.anyOf ?? 0)
  setU64(view, at + RETURN, scan.returns)
}

/** Where the scan ended: `end` when it saw all, else the `start` of the next one. */
export function decodeWalkEnd(view: DataView, at: number): number {
  return getU64(view, at + WALK_END)
}

/** A range of pages, end excluded, with its PAGE_IS_*. */
export type PageRegion = { start: number; end: number; categories: number }

/**
 * `count` structs page_region at offset `at`; the ioctl's result is the count. Throws a BardoError `bug` past the view.
 */
export function decodePageRegions(view: DataView, at: number, count: number): PageRegion[] {
  if (at + count * PAGE_REGION_BYTES > view.byteLength)
    throw new BardoError('bug', `PAGEMAP_SCAN: ${count} regions do not fit in ${view.byteLength - at} bytes`)
  const regions: PageRegion[] = []
  for (let i = 0, offset = at; i < count; i++, offset += PAGE_REGION_BYTES)
    regions.push({
      start: getU64(view, offset),
      end: getU64(view, offset + 8),
      categories: getU64(view, offset + 16),
    })
  return regions
}

/** Bytes of one entry when pagemap is read: the entry of address A is at A / page size * 8. */
export const PAGEMAP_ENTRY_BYTES = 8

/** Bits of an entry's upper 32-bit word, for loops over entries; `>>> 0` makes the last one positive. */
export const PM_SOFT_DIRTY_HIGH = 1 << 23 // bit 55
/** Mapped by this process alone. */
export const PM_MMAP_EXCLUSIVE_HIGH = 1 << 24 // bit 56
/** Write-protected by userfaultfd (Linux 5.13). */
export const PM_UFFD_WP_HIGH = 1 << 25 // bit 57
/** Linux 6.15. */
export const PM_GUARD_REGION_HIGH = 1 << 26 // bit 58
/** A page of a file, or shared anonymous memory. */
export const PM_FILE_HIGH = 1 << 29 // bit 61
export const PM_SWAP_HIGH = 1 << 30 // bit 62
export const PM_PRESENT_HIGH = (1 << 31) >>> 0 // bit 63
const PFN_HIGH_MASK = (1 << 23) - 1
const SWAP_TYPE_BITS = 5

export type PagemapEntry = {
  present: boolean
  swapped: boolean
  softDirty: boolean
  exclusive: boolean
  uffdWp: boolean
  guard: boolean
  /** A page of a file, or shared anonymous memory. */
  file: boolean
  /** The page frame of a present page; 0 for a reader without CAP_SYS_ADMIN, since Linux 4.2. */
  pfn: number
  /** Where a swapped page lies; zeros for a reader without CAP_SYS_ADMIN. */
  swapType: number
  swapOffset: number
}

/** The entry at offset `at` of what was read from pagemap. */
export function decodePagemapEntry(view: DataView, at: number): PagemapEntry {
  const low = view.getUint32(at, true)
  const high = view.getUint32(at + 4, true)
  const present = (high & PM_PRESENT_HIGH) !== 0
  const swapped = (high & PM_SWAP_HIGH) !== 0
  // Physical memory has at most 52 address bits, so that a frame number has 40 and is exact.
  const frame = (high & PFN_HIGH_MASK) * 0x1_0000_0000 + low
  return {
    present,
    swapped,
    softDirty: (high & PM_SOFT_DIRTY_HIGH) !== 0,
    exclusive: (high & PM_MMAP_EXCLUSIVE_HIGH) !== 0,
    uffdWp: (high & PM_UFFD_WP_HIGH) !== 0,
    guard: (high & PM_GUARD_REGION_HIGH) !== 0,
    file: (high & PM_FILE_HIGH) !== 0,
    pfn: present ? frame : 0,
    swapType: swapped ? low & ((1 << SWAP_TYPE_BITS) - 1) : 0,
    // Divided, not shifted: the offset has 50 bits.
    swapOffset: swapped ? (high & PFN_HIGH_MASK) * 2 ** (32 - SWAP_TYPE_BITS) + (low >>> SWAP_TYPE_BITS) : 0,
  }
}
