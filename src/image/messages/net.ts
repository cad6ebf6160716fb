// Network namespaces and the devices in them.
import {
  bool,
  bytes,
  choice,
  enumeration,
  hex,
  i32,
  inner,
  ip,
  message,
  optional,
  repeated,
  text,
  u32,
  type State,
} from '../words.ts'

export const SysctlType = enumeration('SysctlType', { CTL_STR: 5, CTL_32: 6 })

/** One value: `iarg` or `sarg`, by type. */
export const sysctl_entry = message('sysctl_entry', () => ({
  type: choice(1, SysctlType),
  iarg: optional(i32(2)), // For CTL_32.
  sarg: optional(text(3)),
}))
export type sysctl_entry = State<typeof sysctl_entry>

export const netns_id = message('netns_id', () => ({
  target_ns_id: u32(1), // The image's id of the other namespace.
  netnsid_value: i32(2), // Its number in this one.
}))
export type netns_id = State<typeof netns_id>

/** A network namespace: its sysctls, and the names it has for others. */
export const netns_entry = message('netns_entry', () => ({
  def_conf: repeated(i32(1)), // For old readers, like all_conf: sysctls by place.
  all_conf: repeated(i32(2)),
  def_conf4: repeated(inner(3, sysctl_entry)),
  all_conf4: repeated(inner(4, sysctl_entry)),
  def_conf6: repeated(inner(5, sysctl_entry)),
  all_conf6: repeated(inner(6, sysctl_entry)),
  nsids: repeated(inner(7, netns_id)),
  ext_key: optional(text(8)),
  unix_conf: repeated(inner(9, sysctl_entry)),
  ipv4_sysctl: repeated(inner(10, sysctl_entry)),
}))
export type netns_entry = State<typeof netns_entry>

/** Kinds of network device; `EXTLINK` is one that a script makes before the restore. */
export const nd_type = enumeration('nd_type', {
  LOOPBACK: 1,
  VETH: 2,
  TUN: 3,
  EXTLINK: 4,
  VENET: 5,
  BRIDGE: 6,
  MACVLAN: 7,
  SIT: 8,
})

/** A tun or tap device. */
export const tun_link_entry = message('tun_link_entry', () => ({
  flags: u32(1, hex),
  owner: i32(2),
  group: i32(3),
  vnethdr: u32(4),
  sndbuf: u32(5),
}))
export type tun_link_entry = State<typeof tun_link_entry>

export const macvlan_link_entry = message('macvlan_link_entry', () => ({ mode: u32(1), flags: optional(u32(2)) }))
export type macvlan_link_entry = State<typeof macvlan_link_entry>

/** An IPv6-in-IPv4 tunnel. */
export const sit_entry = message('sit_entry', () => ({
  link: optional(u32(1)),
  local: repeated(u32(2, ip)),
  remote: repeated(u32(3, ip)),
  ttl: optional(u32(4)),
  tos: optional(u32(5)),
  pmtudisc: optional(bool(6)), // Path MTU discovery.
  proto: optional(u32(7)),
  flags: optional(u32(8)),
  encap_type: optional(u32(9)),
  encap_flags: optional(u32(10)),
  encap_sport: optional(u32(11)),
  encap_dport: optional(u32(12)),
  rd_prefixlen: optional(u32(13)),
  rd_prefix: repeated(u32(14, ip)),
  relay_prefixlen: optional(u32(15)),
  relay_prefix: repeated(u32(16, ip)),
}))
export type sit_entry = State<typeof sit_entry>

/** A network device. */
export const net_device_entry = message('net_device_entry', () => ({
  type: choice(1, nd_type),
  ifindex: u32(2),
  mtu: u32(3),
  flags: u32(4, hex),
  name: text(5),
  tun: optional(inner(6, tun_link_entry)),
  address: optional(bytes(7)), // The hardware address.
  conf: repeated(i32(8)), // For old readers: sysctls by place.
  conf4: repeated(inner(9, sysctl_entry)),
  conf6: repeated(inner(10, sysctl_entry)),
  macvlan: optional(inner(11, macvlan_link_entry)),
  peer_ifindex: optional(u32(12)), // The other end of a veth pair.
  peer_nsid: optional(u32(13)),
  master: optional(u32(14)),
  sit: optional(inner(15, sit_entry)),
}))
export type net_device_entry = State<typeof net_device_entry>

/** An open file description of /dev/net/tun. */
export const tunfile_entry = message('tunfile_entry', () => ({
  id: u32(1),
  netdev: optional(text(2)), // Absent: not attached to a device yet.
  detached: optional(bool(3)),
  ns_id: optional(u32(4)),
}))
export type tunfile_entry = State<typeof tunfile_entry>
