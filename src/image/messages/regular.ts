// Files that have a path, what stands in for a path that is gone, and locks.
import {
  bool,
  choice,
  dev,
  enumeration,
  flags,
  i32,
  i64,
  inner,
  message,
  optional,
  repeated,
  s32,
  statDev,
  text,
  u32,
  u64,
  type State,
} from '../words.ts'
import { fown_entry } from './fown.ts'

export const timeval = message('timeval', () => ({ tv_sec: u64(1), tv_usec: u64(2) }))
export type timeval = State<typeof timeval>

/** A file that was opened by a path. */
export const reg_file_entry = message('reg_file_entry', () => ({
  id: u32(1),
  flags: u32(2, flags('rfile.flags')), // Open flags, from fdinfo.
  pos: u64(3),
  fown: inner(5, fown_entry),
  name: text(6), // The path from the root of its mount namespace.
  mnt_id: optional(s32(7), -1), // -1: by path alone.
  size: optional(u64(8)), // For checking that the file did not change.
  ext: optional(bool(9)), // A plugin or the caller provides it.
  mode: optional(u32(10)),
  build_id: repeated(u32(11)), // Words of the ELF build id, for checking.
  checksum: optional(u32(12)), // CRC32C.
  checksum_config: optional(u32(13)), // Which bytes the checksum is of.
  checksum_parameter: optional(u32(14)),
}))
export type reg_file_entry = State<typeof reg_file_entry>

/** A file that a plugin saves. */
export const ext_file_entry = message('ext_file_entry', () => ({ id: u32(1), fown: inner(5, fown_entry) }))
export type ext_file_entry = State<typeof ext_file_entry>

/** An open /proc/<pid>/ns/… file. */
export const ns_file_entry = message('ns_file_entry', () => ({
  id: u32(1),
  ns_id: u32(2), // The image's id of the namespace.
  ns_cflag: u32(3), // CLONE_NEW…
  flags: u32(4),
}))
export type ns_file_entry = State<typeof ns_file_entry>

/** Working directory, root and umask of a task. */
export const fs_entry = message('fs_entry', () => ({
  cwd_id: u32(1), // File ids.
  root_id: u32(2),
  umask: optional(u32(3)),
}))
export type fs_entry = State<typeof fs_entry>

/** What stands for a path that is gone: another link to the file, its saved contents, a task of /proc. */
export const remap_type = enumeration('remap_type', { LINKED: 0, GHOST: 1, PROCFS: 2 })

/** Says how to find a file whose path is gone. */
export const remap_file_path_entry = message('remap_file_path_entry', () => ({
  orig_id: u32(1), // The id of the file whose path is gone.
  remap_id: u32(2), // A file id, a ghost's id, or a pid, by type.
  remap_type: optional(choice(3, remap_type)),
}))
export type remap_file_path_entry = State<typeof remap_file_path_entry>

/** A file that was unlinked while open; its contents follow the entry. */
export const ghost_file_entry = message('ghost_file_entry', () => ({
  uid: u32(1),
  gid: u32(2),
  mode: u32(3),
  dev: optional(u32(4, dev)),
  ino: optional(u64(5)),
  rdev: optional(u32(6, statDev)), // Only of a device file.
  atim: optional(inner(7, timeval)),
  mtim: optional(inner(8, timeval)),
  chunks: optional(bool(9)), // Contents come as ghost_chunk_entry and bytes, in turns.
  size: optional(u64(10)),
  symlnk_target: optional(text(11)), // Only of a symbolic link.
}))
export type ghost_file_entry = State<typeof ghost_file_entry>

/** A piece of a file with holes; its bytes follow the entry. */
export const ghost_chunk_entry = message('ghost_chunk_entry', () => ({ len: u64(1), off: u64(2) }))
export type ghost_chunk_entry = State<typeof ghost_chunk_entry>

/** A lock, as /proc/locks shows it. */
export const file_lock_entry = message('file_lock_entry', () => ({
  flag: u32(1), // FL_POSIX, FL_FLOCK, FL_LEASE, …
  type: u32(2), // F_RDLCK, F_WRLCK, …
  pid: i32(3),
  fd: i32(4),
  start: i64(5),
  len: i64(6), // 0: to the end.
}))
export type file_lock_entry = State<typeof file_lock_entry>

/** A bound of C code: how many words a handle has room for. */
export const fh_entry_sizes = enumeration('fh_entry_sizes', { min_entries: 16 })

/** A file handle (name_to_handle_at). */
export const fh_entry = message('fh_entry', () => ({
  bytes: u32(1), // How many bytes of the handle count.
  type: u32(2),
  handle: repeated(u64(3)),
  path: optional(text(4)),
  mnt_id: optional(u32(5)),
}))
export type fh_entry = State<typeof fh_entry>

/** Where an inode was found by search; a cache between dumps. */
export const irmap_cache_entry = message('irmap_cache_entry', () => ({
  dev: u32(1, statDev),
  inode: u64(2),
  path: text(3),
}))
export type irmap_cache_entry = State<typeof irmap_cache_entry>
