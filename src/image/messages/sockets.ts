// Sockets of all families, and what was in their queues.
import {
  bool,
  bytes,
  choice,
  dict,
  enumeration,
  fixed64,
  hex,
  inner,
  ip,
  message,
  optional,
  repeated,
  s32,
  text,
  u32,
  u64,
  unixName,
  type State,
} from '../words.ts'
import { fown_entry } from './fown.ts'

/** Options of SOL_SOCKET. */
export const sk_opts_entry = message('sk_opts_entry', () => ({
  so_sndbuf: u32(1),
  so_rcvbuf: u32(2),
  so_snd_tmo_sec: u64(3),
  so_snd_tmo_usec: u64(4),
  so_rcv_tmo_sec: u64(5),
  so_rcv_tmo_usec: u64(6),
  reuseaddr: optional(bool(7)),
  so_priority: optional(u32(8)),
  so_rcvlowat: optional(u32(9)),
  so_mark: optional(u32(10)),
  so_passcred: optional(bool(11)),
  so_passsec: optional(bool(12)),
  so_dontroute: optional(bool(13)),
  so_no_check: optional(bool(14)),
  so_bound_dev: optional(text(15)),
  so_filter: repeated(fixed64(16)), // Instructions of a classic BPF filter.
  so_reuseport: optional(bool(17)),
  so_broadcast: optional(bool(18)),
  so_keepalive: optional(bool(19)),
  tcp_keepcnt: optional(u32(20)),
  tcp_keepidle: optional(u32(21)),
  tcp_keepintvl: optional(u32(22)),
  so_oobinline: optional(u32(23)),
  so_linger: optional(u32(24)), // Seconds; absent when off.
  so_buf_lock: optional(u32(25)),
}))
export type sk_opts_entry = State<typeof sk_opts_entry>

export const sk_shutdown = enumeration('sk_shutdown', { NONE: 0, READ: 1, WRITE: 2, BOTH: 3 })

export const ip_opts_raw_entry = message('ip_opts_raw_entry', () => ({
  hdrincl: optional(bool(1)),
  nodefrag: optional(bool(2)),
  checksum: optional(bool(3)),
  icmpv_filter: repeated(u32(4)),
}))
export type ip_opts_raw_entry = State<typeof ip_opts_raw_entry>

export const ip_opts_entry = message('ip_opts_entry', () => ({
  freebind: optional(bool(1)),
  raw: optional(inner(4, ip_opts_raw_entry)),
  pktinfo: optional(bool(5)),
  tos: optional(u32(6)),
  ttl: optional(u32(7)),
}))
export type ip_opts_entry = State<typeof ip_opts_entry>

export const tcp_opts_entry = message('tcp_opts_entry', () => ({
  cork: optional(bool(1)),
  nodelay: optional(bool(2)),
  keepcnt: optional(u32(3)),
  keepidle: optional(u32(4)),
  keepintvl: optional(u32(5)),
}))
export type tcp_opts_entry = State<typeof tcp_opts_entry>

/** An IPv4 or IPv6 socket. Addresses are words in network byte order: one, or four. */
export const inet_sk_entry = message('inet_sk_entry', () => ({
  id: u32(1),
  ino: u32(2),
  family: u32(3, dict('sk')),
  type: u32(4, dict('sk')),
  proto: u32(5, dict('sk')),
  state: u32(6, dict('sk')), // TCP_… of the kernel; also for others than TCP.
  src_port: u32(7),
  dst_port: u32(8),
  flags: u32(9, hex),
  backlog: u32(10),
  src_addr: repeated(u32(11, ip)),
  dst_addr: repeated(u32(12, ip)),
  fown: inner(13, fown_entry),
  opts: inner(14, sk_opts_entry),
  v6only: optional(bool(15)),
  ip_opts: optional(inner(16, ip_opts_entry)),
  ifname: optional(text(17)),
  ns_id: optional(u32(18)),
  shutdown: optional(choice(19, sk_shutdown)),
  tcp_opts: optional(inner(20, tcp_opts_entry)),
}))
export type inet_sk_entry = State<typeof inet_sk_entry>

/** A TCP connection in repair mode; the bytes of both queues follow the entry. */
export const tcp_stream_entry = message('tcp_stream_entry', () => ({
  inq_len: u32(1),
  inq_seq: u32(2),
  outq_len: u32(3),
  outq_seq: u32(4),
  opt_mask: u32(5, hex),
  snd_wscale: u32(6),
  mss_clamp: u32(7),
  rcv_wscale: optional(u32(8)),
  timestamp: optional(u32(9)),
  cork: optional(bool(10)),
  nodelay: optional(bool(11)),
  unsq_len: optional(u32(12)), // How much of the outgoing queue was never sent.
  snd_wl1: optional(u32(13)),
  snd_wnd: optional(u32(14)),
  max_window: optional(u32(15)),
  rcv_wnd: optional(u32(16)),
  rcv_wup: optional(u32(17)),
}))
export type tcp_stream_entry = State<typeof tcp_stream_entry>

/** Permissions of a bound socket's file. */
export const file_perms_entry = message('file_perms_entry', () => ({ mode: u32(1), uid: u32(2), gid: u32(3) }))
export type file_perms_entry = State<typeof file_perms_entry>

/** A unix socket. `peer` is the inode of the other end, 0 for none. */
export const unix_sk_entry = message('unix_sk_entry', () => ({
  id: u32(1),
  ino: u32(2),
  type: u32(3, dict('sk')),
  state: u32(4, dict('sk')),
  flags: u32(5, hex), // Open flags.
  uflags: u32(6, hex), // USK_…: how it is restored.
  backlog: u32(7), // Of a listening one.
  peer: u32(8),
  fown: inner(9, fown_entry),
  opts: inner(10, sk_opts_entry),
  name: bytes(11, unixName), // The path with a NUL, or a NUL and an abstract name.
  shutdown: optional(choice(12, sk_shutdown)),
  file_perms: optional(inner(13, file_perms_entry)),
  name_dir: optional(text(14)), // The directory that a relative name starts from.
  deleted: optional(bool(15)), // Its file was unlinked.
  ns_id: optional(u32(16)),
  mnt_id: optional(s32(17), -1),
}))
export type unix_sk_entry = State<typeof unix_sk_entry>

export const packet_mclist = message('packet_mclist', () => ({ index: u32(1), type: u32(2), addr: bytes(3) }))
export type packet_mclist = State<typeof packet_mclist>

export const packet_ring = message('packet_ring', () => ({
  block_size: u32(1),
  block_nr: u32(2),
  frame_size: u32(3),
  frame_nr: u32(4),
  retire_tmo: u32(5),
  sizeof_priv: u32(6),
  features: u32(7),
}))
export type packet_ring = State<typeof packet_ring>

/** An AF_PACKET socket. */
export const packet_sock_entry = message('packet_sock_entry', () => ({
  id: u32(1),
  type: u32(2),
  protocol: u32(3),
  flags: u32(4, hex),
  ifindex: u32(5),
  fown: inner(6, fown_entry),
  opts: inner(7, sk_opts_entry),
  version: u32(8),
  reserve: u32(9),
  aux_data: bool(10),
  orig_dev: bool(11),
  vnet_hdr: bool(12),
  loss: bool(13),
  timestamp: u32(14),
  copy_thresh: u32(15),
  mclist: repeated(inner(16, packet_mclist)),
  fanout: optional(u32(17), 0xffff_ffff), // 0xffffffff for none.
  rx_ring: optional(inner(18, packet_ring)),
  tx_ring: optional(inner(19, packet_ring)),
  ns_id: optional(u32(20)),
}))
export type packet_sock_entry = State<typeof packet_sock_entry>

export const netlink_sk_entry = message('netlink_sk_entry', () => ({
  id: u32(1),
  ino: u32(2),
  protocol: u32(3),
  state: u32(4),
  flags: u32(6, hex),
  portid: u32(7),
  groups: repeated(u32(8)), // A mask of groups, in words of 32 bits.
  dst_portid: u32(9),
  dst_group: u32(10),
  fown: inner(11, fown_entry),
  opts: inner(12, sk_opts_entry),
  ns_id: optional(u32(13)),
}))
export type netlink_sk_entry = State<typeof netlink_sk_entry>

/** What came with a message: descriptors. */
export const scm_entry = message('scm_entry', () => ({
  type: u32(1), // SCM_RIGHTS.
  rights: repeated(u32(2)), // File ids.
}))
export type scm_entry = State<typeof scm_entry>

/** What was in a socket's queue, one message; its bytes follow the entry. */
export const sk_packet_entry = message('sk_packet_entry', () => ({
  id_for: u32(1), // The file id of the socket whose queue it is.
  length: u32(2),
  scm: repeated(inner(4, scm_entry)),
}))
export type sk_packet_entry = State<typeof sk_packet_entry>
