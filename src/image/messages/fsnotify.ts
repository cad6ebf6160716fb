// Descriptors that watch files: inotify and fanotify.
import {
  choice,
  dev,
  enumeration,
  hex,
  inner,
  message,
  optional,
  repeated,
  text,
  u32,
  u64,
  type State,
} from '../words.ts'
import { fown_entry } from './fown.ts'
import { fh_entry } from './regular.ts'

/** A watch; the file is found by its handle. */
export const inotify_wd_entry = message('inotify_wd_entry', () => ({
  id: u32(1),
  i_ino: u64(2),
  mask: u32(3, hex),
  ignored_mask: u32(4, hex),
  s_dev: u32(5, dev),
  wd: u32(6),
  f_handle: inner(7, fh_entry),
}))
export type inotify_wd_entry = State<typeof inotify_wd_entry>

export const inotify_file_entry = message('inotify_file_entry', () => ({
  id: u32(1),
  flags: u32(2, hex),
  fown: inner(4, fown_entry),
  wd: repeated(inner(5, inotify_wd_entry)),
}))
export type inotify_file_entry = State<typeof inotify_file_entry>

export const mark_type = enumeration('mark_type', { INODE: 1, MOUNT: 2 })

export const fanotify_inode_mark_entry = message('fanotify_inode_mark_entry', () => ({
  i_ino: u64(1),
  f_handle: inner(2, fh_entry),
}))
export type fanotify_inode_mark_entry = State<typeof fanotify_inode_mark_entry>

export const fanotify_mount_mark_entry = message('fanotify_mount_mark_entry', () => ({
  mnt_id: u32(1),
  path: optional(text(2)),
}))
export type fanotify_mount_mark_entry = State<typeof fanotify_mount_mark_entry>

/** A mark on an inode (`ie`) or on a mount (`me`). */
export const fanotify_mark_entry = message('fanotify_mark_entry', () => ({
  id: u32(1),
  type: choice(2, mark_type),
  mflags: u32(3, hex), // FAN_MARK_…
  mask: u32(4, hex),
  ignored_mask: u32(5, hex),
  s_dev: u32(6, dev),
  ie: optional(inner(7, fanotify_inode_mark_entry)),
  me: optional(inner(8, fanotify_mount_mark_entry)),
}))
export type fanotify_mark_entry = State<typeof fanotify_mark_entry>

export const fanotify_file_entry = message('fanotify_file_entry', () => ({
  id: u32(1),
  flags: u32(2, hex),
  fown: inner(3, fown_entry),
  faflags: u32(4, hex), // Flags of fanotify_init.
  evflags: u32(5, hex), // Flags of the descriptors that come with events.
  mark: repeated(inner(6, fanotify_mark_entry)),
}))
export type fanotify_file_entry = State<typeof fanotify_file_entry>
