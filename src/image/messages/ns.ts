// Namespaces other than the network's and IPC's, and the mounts of a mount namespace.
import {
  bool,
  dev,
  enumeration,
  hex,
  i32,
  inner,
  message,
  optional,
  repeated,
  text,
  u32,
  u64,
  type State,
} from '../words.ts'

/** Names of the machine. */
export const utsns_entry = message('utsns_entry', () => ({ nodename: text(1), domainname: text(2) }))
export type utsns_entry = State<typeof utsns_entry>

export const timespec = message('timespec', () => ({ tv_sec: u64(1), tv_nsec: u64(2) }))
export type timespec = State<typeof timespec>

/** The clocks of a time namespace when it was dumped. */
export const timens_entry = message('timens_entry', () => ({
  monotonic: inner(1, timespec),
  boottime: inner(2, timespec),
}))
export type timens_entry = State<typeof timens_entry>

/** A pid namespace that the restore joins. */
export const pidns_entry = message('pidns_entry', () => ({ ext_key: optional(text(1)) }))
export type pidns_entry = State<typeof pidns_entry>

/** One line of uid_map or gid_map. */
export const uid_gid_extent = message('uid_gid_extent', () => ({
  first: u32(1),
  lower_first: u32(2), // In the parent namespace.
  count: u32(3),
}))
export type uid_gid_extent = State<typeof uid_gid_extent>

export const userns_entry = message('userns_entry', () => ({
  uid_map: repeated(inner(1, uid_gid_extent)),
  gid_map: repeated(inner(2, uid_gid_extent)),
}))
export type userns_entry = State<typeof userns_entry>

/** File systems that a mount can be of; `AUTO` goes by `fsname`. */
export const fstype = enumeration('fstype', {
  UNSUPPORTED: 0,
  PROC: 1,
  SYSFS: 2,
  DEVTMPFS: 3,
  BINFMT_MISC: 4,
  TMPFS: 5,
  DEVPTS: 6,
  SIMFS: 7,
  PSTORE: 8,
  SECURITYFS: 9,
  FUSECTL: 10,
  DEBUGFS: 11,
  CGROUP: 12,
  AUFS: 13,
  MQUEUE: 14,
  FUSE: 15,
  AUTO: 16,
  OVERLAYFS: 17,
  AUTOFS: 18,
  TRACEFS: 19,
  CGROUP2: 23,
})

/** A mount, as mountinfo shows it. */
export const mnt_entry = message('mnt_entry', () => ({
  fstype: u32(1), // An fstype.
  mnt_id: u32(2),
  root_dev: u32(3, dev), // Device of its file system.
  parent_mnt_id: u32(4),
  flags: u32(5, hex),
  root: text(6),
  mountpoint: text(7),
  source: text(8),
  options: text(9),
  shared_id: optional(u32(10)), // The peer group; of master_id the group it gets from.
  master_id: optional(u32(11)),
  with_plugin: optional(bool(12)), // A plugin mounts it.
  ext_mount: optional(bool(13)),
  fsname: optional(text(14)), // The file system's name, for AUTO.
  internal_sharing: optional(bool(15)), // The outside does not see what is mounted here.
  deleted: optional(bool(16)),
  sb_flags: optional(u32(17, hex)),
  ext_key: optional(text(18)), // The name by which --external gave it.
}))
export type mnt_entry = State<typeof mnt_entry>

/** An autofs mount, whose daemon may be in the tree. */
export const autofs_entry = message('autofs_entry', () => ({
  fd: i32(1), // The daemon's end of its pipe, -1 for a daemon outside.
  pgrp: i32(2),
  timeout: i32(3),
  minproto: i32(4),
  maxproto: i32(5),
  mode: i32(6),
  uid: optional(i32(7)),
  gid: optional(i32(8)),
  read_fd: optional(i32(9)),
}))
export type autofs_entry = State<typeof autofs_entry>

/** A registered binary format. */
export const binfmt_misc_entry = message('binfmt_misc_entry', () => ({
  name: text(1),
  enabled: bool(2),
  interpreter: text(3),
  flags: optional(text(4)),
  extension: optional(text(5)), // Recognised by extension, or by magic, mask and offset.
  magic: optional(text(6)),
  mask: optional(text(7)),
  offset: optional(i32(8)),
}))
export type binfmt_misc_entry = State<typeof binfmt_misc_entry>
