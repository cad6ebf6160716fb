// Address spaces: mm-<pid>.img, and the pagemaps that say which pages are in pages-<id>.img.
import { bool, flags, hex, i32, inner, message, optional, repeated, s64, u32, u64, type State } from '../words.ts'

/** One mapping. */
export const vma_entry = message('vma_entry', () => ({
  start: u64(1, hex),
  end: u64(2, hex),
  pgoff: u64(3), // Bytes, not pages.
  shmid: u64(4), // The file id of a mapped file, or the id of shared memory.
  prot: u32(5, flags('mmap.prot')),
  flags: u32(6, flags('mmap.flags')),
  status: u32(7, flags('mmap.status')), // What kind of mapping it is, and which of its bytes are in the image.
  fd: s64(8), // -1 in images; the file is named by shmid.
  madv: optional(u64(9, hex)), // Bit n is advice n of madvise(2).
  fdflags: optional(u32(10, hex)), // How the mapped file was opened.
}))
export type vma_entry = State<typeof vma_entry>

export const aio_ring_entry = message('aio_ring_entry', () => ({
  id: u64(1), // The address of the ring.
  nr_req: u32(2),
  ring_len: u32(3),
}))
export type aio_ring_entry = State<typeof aio_ring_entry>

/** One address space: the fields of prctl(PR_SET_MM), the auxiliary vector, the mappings in rising order. */
export const mm_entry = message('mm_entry', () => ({
  mm_start_code: u64(1, hex),
  mm_end_code: u64(2, hex),
  mm_start_data: u64(3, hex),
  mm_end_data: u64(4, hex),
  mm_start_stack: u64(5, hex),
  mm_start_brk: u64(6, hex),
  mm_brk: u64(7, hex),
  mm_arg_start: u64(8, hex),
  mm_arg_end: u64(9, hex),
  mm_env_start: u64(10, hex),
  mm_env_end: u64(11, hex),
  exe_file_id: u32(12), // The file behind /proc/pid/exe.
  mm_saved_auxv: repeated(u64(13)), // Words of the auxiliary vector, two for each entry.
  vmas: repeated(inner(14, vma_entry)),
  dumpable: optional(i32(15)), // prctl(PR_GET_DUMPABLE).
  aios: repeated(inner(16, aio_ring_entry)),
  thp_disabled: optional(bool(17)),
}))
export type mm_entry = State<typeof mm_entry>

/** The first entry of a pagemap; the rest are pagemap_entry. */
export const pagemap_head = message('pagemap_head', () => ({
  pages_id: u32(1), // Names pages-<id>.img.
}))
export type pagemap_head = State<typeof pagemap_head>

/** A run of pages, in the order in which pages-<id>.img has their bytes. */
export const pagemap_entry = message('pagemap_entry', () => ({
  vaddr: u64(1, hex),
  compat_nr_pages: u32(2), // Older images have the count here; newer ones write 0 and nr_pages.
  in_parent: optional(bool(3)), // Older images say PE_PARENT this way.
  // PE_PRESENT: bytes are here. PE_PARENT: in the parent image. PE_LAZY: may be served later.
  flags: optional(u32(4, flags('pmap.flags'))),
  nr_pages: optional(u64(5)),
}))
export type pagemap_entry = State<typeof pagemap_entry>
