// Memory files, and the inodes behind them: memfd.img. Shared anonymous memory comes here too.
import { flags, inner, message, optional, text, u32, u64, type State } from '../words.ts'
import { fown_entry } from './fown.ts'

/** The memory behind memfds and shared anonymous mappings. */
export const memfd_inode_entry = message('memfd_inode_entry', () => ({
  name: text(1),
  uid: u32(2),
  gid: u32(3),
  size: u64(4),
  shmid: u32(5), // Names pagemap-shmem-<id>.img.
  seals: u32(6, flags('seals.flags')),
  inode_id: u64(7), // What memfd_file_entry names it by.
  hugetlb_flag: optional(u32(8)), // MFD_HUGETLB with a size, or absent.
  mode: optional(u32(9)),
}))
export type memfd_inode_entry = State<typeof memfd_inode_entry>

/** An open file description of a memfd. */
export const memfd_file_entry = message('memfd_file_entry', () => ({
  id: u32(1),
  flags: u32(2, flags('rfile.flags')),
  pos: u64(3),
  fown: inner(4, fown_entry),
  inode_id: u32(5),
}))
export type memfd_file_entry = State<typeof memfd_file_entry>
