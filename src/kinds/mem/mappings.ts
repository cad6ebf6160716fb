// Mappings of an address space: what each one is, as a vma_entry, and back to what mmap and madvise take.
import { BardoError } from '../../base/errors.ts'
import type { vma_entry } from '../../image/messages/mm.ts'
import {
  MAP_ANONYMOUS,
  MAP_GROWSDOWN,
  MAP_HUGETLB,
  MAP_LOCKED,
  MAP_NORESERVE,
  MAP_PRIVATE,
  MAP_SHARED,
  O_RDONLY,
  O_RDWR,
  PROT_WRITE,
} from '../../linux/constants.ts'
import { VM_FLAG, type FlaggedMapping } from '../../linux/proc/smaps.ts'

/** Bits of vma_entry.status (CRIU's VMA_AREA_… and VMA_…). */
export const STATUS = {
  REGULAR: 1 << 0,
  STACK: 1 << 1,
  VSYSCALL: 1 << 2,
  VDSO: 1 << 3,
  HEAP: 1 << 5,
  FILE_PRIVATE: 1 << 6,
  FILE_SHARED: 1 << 7,
  ANON_SHARED: 1 << 8,
  ANON_PRIVATE: 1 << 9,
  SYSVIPC: 1 << 10,
  SOCKET: 1 << 11,
  VVAR: 1 << 12,
  AIORING: 1 << 13,
  MEMFD: 1 << 14,
  SHSTK: 1 << 15,
  GUARD: 1 << 16,
  UPROBES: 1 << 17,
} as const

export const MAP_DROPPABLE = 0x08

/** Codes of VmFlags and the advice of madvise(2) that sets them. */
const ADVICE = [
  { flag: 'dc', advice: 10 }, // MADV_DONTFORK
  { flag: 'mg', advice: 12 }, // MADV_MERGEABLE
  { flag: 'hg', advice: 14 }, // MADV_HUGEPAGE
  { flag: 'nh', advice: 15 }, // MADV_NOHUGEPAGE
  { flag: 'dd', advice: 16 }, // MADV_DONTDUMP
  { flag: 'wf', advice: 18 }, // MADV_WIPEONFORK
  { flag: 'sr', advice: 2 }, // MADV_SEQUENTIAL
  { flag: 'rr', advice: 1 }, // MADV_RANDOM
] as const

/** What the mapping of a file or of shared memory is of, for who saves that. */
export type Backing =
  | { readonly kind: 'none' }
  | { readonly kind: 'file'; readonly flags: number }
  | { readonly kind: 'shared'; readonly ino: number }
  | { readonly kind: 'refused'; readonly error: BardoError }

/** A mapping to be saved; `shmid` is filled in when its backing has been saved. */
export type Saved = { readonly vma: vma_entry; readonly backing: Backing; readonly source: FlaggedMapping }

const has = (mapping: FlaggedMapping, code: keyof typeof VM_FLAG): boolean => (mapping.vmflags & VM_FLAG[code]) !== 0n

/** The name of shared anonymous memory in maps: a file of the kernel's own tmpfs that has no name anywhere. */
const SHARED_ANONYMOUS = '/dev/zero (deleted)'
const SYSV = '/SYSV'
const MEMFD = '/memfd:'
/** A file of the root directory may be called so; it has been deleted then, or is shown without this. */
const DELETED = ' (deleted)'

function refuse(mapping: FlaggedMapping, says: string, hint: string): Backing {
  const range = `${mapping.start.toString(16)}-${mapping.end.toString(16)}`
  return {
    kind: 'refused',
    error: new BardoError('unsupported', `cannot dump memory: ${says}`, {
      where: `mapping ${range}${mapping.path === '' ? '' : ` ${mapping.path}`}`,
      hint,
    }),
  }
}

const isMemfd = ({ path }: FlaggedMapping): boolean => path.startsWith(MEMFD) && path.endsWith(DELETED)

function backingOf(mapping: FlaggedMapping): Backing {
  const { path, ino } = mapping
  if (has(mapping, 'ht'))
    return refuse(mapping, 'huge pages (hugetlbfs) are not supported', 'use transparent huge pages (madvise) instead')
  if (has(mapping, 'ss'))
    return refuse(
      mapping,
      'a shadow stack is not supported',
      'start the program with GLIBC_TUNABLES=glibc.cpu.x86_shstk=off',
    )
  if (has(mapping, 'um') || has(mapping, 'uw'))
    return refuse(
      mapping,
      'it is registered with userfaultfd',
      'unregister it, or end the program that serves it, first',
    )
  // Pseudo names of mappings that are no files: the kernel's own, and names given by prctl.
  if (ino === 0 || path === '' || path.startsWith('[')) {
    if ((has(mapping, 'io') || has(mapping, 'pf')) && !path.startsWith('[v'))
      return refuse(mapping, 'it maps a device', 'let the program close the device first')
    return { kind: 'none' }
  }
  if (path.startsWith('anon_inode:') || path.startsWith('socket:') || path.startsWith('/[aio]'))
    return refuse(mapping, `a mapping of ${path} is not supported`, 'let the program close that object first')
  if (path.startsWith(SYSV))
    return refuse(mapping, 'System V shared memory is not supported yet', 'detach it first (shmdt)')
  if (path === SHARED_ANONYMOUS && mapping.shared) return { kind: 'shared', ino: Number(ino) }
  if (has(mapping, 'io') || has(mapping, 'pf'))
    return refuse(mapping, 'it maps a device', 'let the program close the device first')
  // A file that the program may write through the mapping was opened for writing; a private one need not be.
  return { kind: 'file', flags: mapping.shared && has(mapping, 'mw') ? O_RDWR : O_RDONLY }
}

/** A mapping as the image has it. `heap` is [start_brk, brk). */
function toEntry(mapping: FlaggedMapping, backing: Backing, heap: { start: number; end: number }): vma_entry {
  let status: number = STATUS.REGULAR
  let flags = mapping.shared ? MAP_SHARED : MAP_PRIVATE
  if (mapping.path === '[vsyscall]') status = STATUS.VSYSCALL | STATUS.ANON_PRIVATE
  else if (mapping.path.startsWith('[vvar')) status |= STATUS.VVAR | STATUS.ANON_PRIVATE
  else if (mapping.path === '[vdso]') status |= STATUS.VDSO | STATUS.ANON_PRIVATE
  else if (backing.kind === 'shared') status |= STATUS.ANON_SHARED
  else if (backing.kind === 'file') {
    status |= mapping.shared ? STATUS.FILE_SHARED : STATUS.FILE_PRIVATE
    if (isMemfd(mapping)) status |= STATUS.MEMFD
  } else status |= STATUS.ANON_PRIVATE
  if (mapping.start < heap.end && mapping.end > heap.start && (status & STATUS.ANON_PRIVATE) !== 0)
    status |= STATUS.HEAP
  if (backing.kind !== 'file') flags |= MAP_ANONYMOUS
  if (has(mapping, 'gd')) flags |= MAP_GROWSDOWN
  if (has(mapping, 'lo')) flags |= MAP_LOCKED
  if (has(mapping, 'nr')) flags |= MAP_NORESERVE
  if (has(mapping, 'ht')) flags |= MAP_HUGETLB
  if (has(mapping, 'dp')) flags = (flags & ~MAP_PRIVATE) | MAP_DROPPABLE
  let madv = 0n
  for (const { flag, advice } of ADVICE) if (has(mapping, flag)) madv |= 1n << BigInt(advice)
  return {
    start: BigInt(mapping.start),
    end: BigInt(mapping.end),
    pgoff: BigInt(mapping.pgoff_bytes),
    shmid: 0n,
    prot: mapping.prot,
    flags,
    status,
    fd: -1n,
    ...(madv === 0n ? {} : { madv }),
    ...(backing.kind === 'file' ? { fdflags: backing.flags } : {}),
  }
}

/** The kernel's mappings in one list of entries; the parts of vvar (Linux 6.13: [vvar] and [vvar_vclock]) are one. */
export function saveMappings(mappings: readonly FlaggedMapping[], heap: { start: number; end: number }): Saved[] {
  const saved: Saved[] = []
  for (const source of mappings) {
    const backing = backingOf(source)
    const vma = toEntry(source, backing, heap)
    const last = saved.at(-1)?.vma
    if (
      last !== undefined &&
      (vma.status & STATUS.VVAR) !== 0 &&
      (last.status & STATUS.VVAR) !== 0 &&
      last.end === vma.start
    ) {
      last.end = vma.end
      continue
    }
    saved.push({ vma, backing, source })
  }
  return saved
}

export const isStatus = (vma: vma_entry, bit: number): boolean => (vma.status & bit) !== 0

/** Whether the image has pages of this mapping's own in pages-N.img. */
export const hasOwnPages = (vma: vma_entry): boolean =>
  (vma.status & (STATUS.ANON_PRIVATE | STATUS.FILE_PRIVATE)) !== 0 &&
  (vma.status & (STATUS.VSYSCALL | STATUS.VVAR)) === 0

/** Advice to be given anew, by number. */
export function adviceOf(vma: vma_entry): number[] {
  const bits = vma.madv ?? 0n
  const found: number[] = []
  for (let advice = 0; advice < 64; advice++) if ((bits >> BigInt(advice)) & 1n) found.push(advice)
  return found
}

/** Protection while it is filled: data must be written into it. */
export const fillProtection = (vma: vma_entry): number => vma.prot | PROT_WRITE
