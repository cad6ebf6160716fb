// Probes about memory: which pages were written, faults served from outside, mappings that move.
import { EEXIST } from '../constants.ts'
import { must, scratch, sys } from '../sys.ts'
import { answered, exists, failsWith, succeeds, textFile, withFd, type Missing, type Probe } from './probe.ts'

const PAGE = 4096
const [PROT_READ_WRITE, MAP_PRIVATE_ANONYMOUS] = [3, 0x22]
const AT_FDCWD = -100
const O_CLOEXEC = 0o2000000

/** A written page of ours while `use` looks at it. */
function withPage(use: (address: number) => Missing): Missing {
  const page = must('mmap', 0, PAGE, PROT_READ_WRITE, MAP_PRIVATE_ANONYMOUS, -1, 0)
  try {
    // A system call writes into it: the seam gives no pointer to store through.
    must('getcwd', page, PAGE)
    return use(page)
  } finally {
    sys('munmap', page, PAGE)
  }
}

const SOFT_DIRTY = 1n << 55n

/** A new mapping counts as written, so its page has the bit at once where the kernel keeps it. */
const softDirty = (): Missing =>
  withPage(page =>
    withFd(
      fd => {
        const mark = scratch.mark()
        try {
          const at = scratch.take(8)
          const n = sys('pread64', fd, at, 8, (page / PAGE) * 8)
          if (n < 0) return answered('pread64', n)
          const entry = scratch.view.getBigUint64(at - scratch.address, true)
          return (entry & SOFT_DIRTY) === 0n ? 'pagemap has no soft-dirty bit (CONFIG_MEM_SOFT_DIRTY)' : undefined
        } finally {
          scratch.release(mark)
        }
      },
      'openat',
      AT_FDCWD,
      '/proc/self/pagemap',
      O_CLOEXEC,
    ),
  )

const PAGEMAP_SCAN = 0xc0606610
const PM_SCAN_ARG_SIZE = 96
const [PAGE_IS_PRESENT, PAGE_IS_GUARD] = [1n << 3n, 1n << 8n]

/** PAGEMAP_SCAN of one page, asking for one category (struct pm_scan_arg, include/uapi/linux/fs.h). */
const pagemapScan = (category: bigint): Missing =>
  withPage(page =>
    withFd(
      fd => {
        const mark = scratch.mark()
        try {
          const regions = scratch.take(24)
          const at = scratch.take(PM_SCAN_ARG_SIZE)
          const view = new DataView(scratch.bytes.buffer, at - scratch.address, PM_SCAN_ARG_SIZE)
          const fields = [PM_SCAN_ARG_SIZE, 0, page, page + PAGE, 0, regions, 1, 0]
          for (const [index, field] of fields.entries()) view.setBigUint64(8 * index, BigInt(field), true)
          view.setBigUint64(80, category, true)
          view.setBigUint64(88, category, true)
          const result = sys('ioctl', fd, PAGEMAP_SCAN, at)
          return result < 0 ? answered('ioctl', result) : undefined
        } finally {
          scratch.release(mark)
        }
      },
      'openat',
      AT_FDCWD,
      '/proc/self/pagemap',
      O_CLOEXEC,
    ),
  )

const UFFDIO_API = 0xc018aa3f
const UFFD_API = 0xaan
// EVENT_FORK, EVENT_REMAP, EVENT_REMOVE, EVENT_UNMAP (include/uapi/linux/userfaultfd.h)
const UFFD_EVENTS = (1n << 1n) | (1n << 2n) | (1n << 3n) | (1n << 6n)

const userfault = (features: bigint): Missing =>
  withFd(
    fd => {
      const mark = scratch.mark()
      try {
        const at = scratch.take(24)
        const view = new DataView(scratch.bytes.buffer, at - scratch.address, 24)
        view.setBigUint64(0, UFFD_API, true)
        view.setBigUint64(8, features, true)
        const result = sys('ioctl', fd, UFFDIO_API, at)
        return result < 0 ? answered('ioctl', result) : undefined
      } finally {
        scratch.release(mark)
      }
    },
    'userfaultfd',
    O_CLOEXEC,
  )

const MREMAP_MAYMOVE_FIXED = 3

/** The length of the mapping that begins at `address`. */
function mappingLength(address: number): number {
  const start = `${address.toString(16)}-`
  const line = textFile('/proc/self/maps')
    ?.split('\n')
    .find(each => each.startsWith(start))
  return line === undefined ? 0 : parseInt(line.slice(start.length), 16) - address
}

/** An AIO context is named by the address of its ring: it has to follow the ring to a new place. */
function aioRemap(): Missing {
  const mark = scratch.mark()
  let context = 0
  try {
    const at = scratch.take(8)
    const made = sys('io_setup', 16, at)
    if (made < 0) return answered('io_setup', made)
    context = Number(scratch.view.getBigUint64(at - scratch.address, true))
    const length = mappingLength(context)
    if (length <= 0) return 'the ring of an AIO context is not in the address map'
    const place = must('mmap', 0, length, PROT_READ_WRITE, MAP_PRIVATE_ANONYMOUS, -1, 0)
    const moved = sys('mremap', context, length, length, MREMAP_MAYMOVE_FIXED, place)
    if (moved < 0) return answered('mremap', moved)
    context = place
    const events = sys('io_getevents', context, 0, 1, 0, 0)
    return events < 0 ? answered('io_getevents', events) : undefined
  } finally {
    if (context !== 0) sys('io_destroy', context)
    scratch.release(mark)
  }
}

const ARCH_MAP_VDSO_64 = 0x2003
const [PR_SET_MM, PR_SET_MM_MAP_SIZE] = [35, 15]

function setMmMap(): Missing {
  const mark = scratch.mark()
  try {
    const result = sys('prctl', PR_SET_MM, PR_SET_MM_MAP_SIZE, scratch.take(8), 0, 0)
    return result < 0 ? answered('prctl', result) : undefined
  } finally {
    scratch.release(mark)
  }
}

const MFD_HUGETLB = 4

export const memory: readonly Probe[] = [
  {
    name: 'map_files',
    level: 'required',
    since: '3.3',
    run: () => exists('/proc/self/map_files'),
    tests: '/proc/PID/map_files is there',
    without: 'mapped files that were deleted or replaced cannot be saved',
  },
  {
    name: 'pagemap',
    level: 'required',
    since: '2.6.25',
    run: () => withFd(() => undefined, 'openat', AT_FDCWD, '/proc/self/pagemap', O_CLOEXEC),
    tests: '/proc/PID/pagemap can be opened',
    without: 'no memory can be saved',
  },
  {
    name: 'set_mm_map',
    level: 'required',
    since: '3.18',
    run: setMmMap,
    tests: 'prctl(PR_SET_MM, PR_SET_MM_MAP_SIZE)',
    without: 'brk, arguments, environment and auxv cannot be restored',
  },
  {
    name: 'mem_dirty_track',
    level: 'extra',
    since: '3.11',
    run: softDirty,
    tests: 'the soft-dirty bit of /proc/PID/pagemap',
    without: 'pre-dumps and incremental dumps of CRIU',
  },
  {
    name: 'pagemap_scan',
    level: 'extra',
    since: '6.7',
    run: () => pagemapScan(PAGE_IS_PRESENT),
    tests: 'ioctl(PAGEMAP_SCAN)',
    without: 'finding the pages to save takes longer',
  },
  {
    name: 'pagemap_scan_guard_pages',
    level: 'extra',
    since: '6.15',
    run: () => pagemapScan(PAGE_IS_GUARD),
    tests: 'PAGE_IS_GUARD of ioctl(PAGEMAP_SCAN)',
    without: 'memory with MADV_GUARD_INSTALL cannot be saved',
  },
  {
    name: 'uffd',
    level: 'extra',
    since: '4.11',
    run: () => userfault(0n),
    tests: 'userfaultfd and UFFDIO_API',
    without: 'no restore on demand',
  },
  {
    name: 'uffd-noncoop',
    level: 'extra',
    since: '4.11',
    run: () => userfault(UFFD_EVENTS),
    tests: 'the events fork, remap, remove and unmap of userfaultfd',
    without: 'no restore on demand of programs that fork or change their maps',
  },
  {
    name: 'aio_remap',
    level: 'extra',
    since: '3.14',
    run: aioRemap,
    tests: 'an AIO ring that is moved by mremap works on',
    without: 'AIO contexts cannot be restored',
  },
  {
    name: 'can_map_vdso',
    level: 'extra',
    since: '4.8',
    run: () => failsWith([EEXIST], 'arch_prctl', ARCH_MAP_VDSO_64, 0),
    tests: 'arch_prctl(ARCH_MAP_VDSO_64)',
    without: 'the vdso is moved instead of mapped',
  },
  {
    name: 'memfd_hugetlb',
    level: 'extra',
    since: '4.14',
    run: () => withFd(() => undefined, 'memfd_create', '', MFD_HUGETLB),
    tests: 'memfd_create(MFD_HUGETLB)',
    without: 'anonymous huge page mappings cannot be restored',
  },
  {
    name: 'madv_guard',
    level: 'asked',
    since: '6.13',
    run: () => withPage(page => succeeds('madvise', page, PAGE, 102)),
    tests: 'madvise(MADV_GUARD_INSTALL)',
    without: 'guard regions cannot be restored',
  },
]
