// Requests to the service and its answers. The numbers are those that CRIU's clients use.
import { bool, choice, enumeration, i32, inner, message, optional, repeated, text, u32, type State } from '../words.ts'

export const criu_req_type = enumeration('criu_req_type', {
  EMPTY: 0,
  DUMP: 1,
  RESTORE: 2,
  CHECK: 3,
  PRE_DUMP: 4,
  PAGE_SERVER: 5,
  NOTIFY: 6,
  CPUINFO_DUMP: 7,
  CPUINFO_CHECK: 8,
  FEATURE_CHECK: 9,
  VERSION: 10,
  WAIT_PID: 11,
  PAGE_SERVER_CHLD: 12,
  SINGLE_PRE_DUMP: 13,
})

/** How far control groups are restored (--manage-cgroups). */
export const criu_cg_mode = enumeration('criu_cg_mode', {
  IGNORE: 0,
  CG_NONE: 1,
  PROPS: 2,
  SOFT: 3,
  FULL: 4,
  STRICT: 5,
  DEFAULT: 6,
})

export const criu_network_lock_method = enumeration('criu_network_lock_method', { IPTABLES: 1, NFTABLES: 2, SKIP: 3 })

export const criu_pre_dump_mode = enumeration('criu_pre_dump_mode', { SPLICE: 1, VM_READ: 2 })

export const criu_page_server_info = message('criu_page_server_info', () => ({
  address: optional(text(1)),
  port: optional(i32(2)),
  pid: optional(i32(3)),
  fd: optional(i32(4)), // An open connection.
}))
export type criu_page_server_info = State<typeof criu_page_server_info>

export const criu_veth_pair = message('criu_veth_pair', () => ({ if_in: text(1), if_out: text(2) }))
export type criu_veth_pair = State<typeof criu_veth_pair>

export const ext_mount_map = message('ext_mount_map', () => ({ key: text(1), val: text(2) }))
export type ext_mount_map = State<typeof ext_mount_map>

export const join_namespace = message('join_namespace', () => ({
  ns: text(1),
  ns_file: text(2), // A pid or a path.
  extra_opt: optional(text(3)), // For user namespaces: uid,gid.
}))
export type join_namespace = State<typeof join_namespace>

export const inherit_fd = message('inherit_fd', () => ({ key: text(1), fd: i32(2) }))
export type inherit_fd = State<typeof inherit_fd>

export const cgroup_root = message('cgroup_root', () => ({
  ctrl: optional(text(1)), // Absent: for all controllers.
  path: text(2),
}))
export type cgroup_root = State<typeof cgroup_root>

export const unix_sk = message('unix_sk', () => ({ inode: u32(1) }))
export type unix_sk = State<typeof unix_sk>

/** The options of a request; each is the command line's of that name. */
export const criu_opts = message('criu_opts', () => ({
  images_dir_fd: i32(1), // A descriptor of the client's, read as /proc/<client>/fd/<n>.
  images_dir: optional(text(68)), // Only when images_dir_fd is -1.
  pid: optional(i32(2)), // Absent on dump: the client itself.
  leave_running: optional(bool(3)),
  ext_unix_sk: optional(bool(4)),
  tcp_established: optional(bool(5)),
  evasive_devices: optional(bool(6)),
  shell_job: optional(bool(7)),
  file_locks: optional(bool(8)),
  log_level: optional(i32(9), 2),
  log_file: optional(text(10)), // A name in the work directory.
  ps: optional(inner(11, criu_page_server_info)),
  notify_scripts: optional(bool(12)),
  root: optional(text(13)),
  parent_img: optional(text(14)),
  track_mem: optional(bool(15)),
  auto_dedup: optional(bool(16)),
  work_dir_fd: optional(i32(17)), // As images_dir_fd.
  link_remap: optional(bool(18)),
  veths: repeated(inner(19, criu_veth_pair)), // For old clients, like ext_mnt and unix_sk_ino: external says the same.
  cpu_cap: optional(u32(20), 0xffff_ffff),
  force_irmap: optional(bool(21)),
  exec_cmd: repeated(text(22)), // The command that takes our place after the restore.
  ext_mnt: repeated(inner(23, ext_mount_map)),
  manage_cgroups: optional(bool(24)), // For old clients; manage_cgroups_mode says more.
  cg_root: repeated(inner(25, cgroup_root)),
  rst_sibling: optional(bool(26)), // Only when we were started by `swrk`: the restored root becomes our parent's child.
  inherit_fd: repeated(inner(27, inherit_fd)), // Only when we were started by `swrk`.
  auto_ext_mnt: optional(bool(28)),
  ext_sharing: optional(bool(29)),
  ext_masters: optional(bool(30)),
  skip_mnt: repeated(text(31)),
  enable_fs: repeated(text(32)),
  unix_sk_ino: repeated(inner(33, unix_sk)),
  manage_cgroups_mode: optional(choice(34, criu_cg_mode)),
  ghost_limit: optional(u32(35), 1048576), // Bytes.
  irmap_scan_paths: repeated(text(36)),
  external: repeated(text(37)),
  empty_ns: optional(u32(38)), // CLONE_NEW… of namespaces to leave empty.
  join_ns: repeated(inner(39, join_namespace)),
  cgroup_props: optional(text(41)),
  cgroup_props_file: optional(text(42)),
  cgroup_dump_controller: repeated(text(43)),
  freeze_cgroup: optional(text(44)),
  timeout: optional(u32(45)), // Seconds.
  tcp_skip_in_flight: optional(bool(46)),
  weak_sysctls: optional(bool(47)),
  lazy_pages: optional(bool(48)),
  status_fd: optional(i32(49)), // Told by a NUL byte that the service or page server is ready.
  orphan_pts_master: optional(bool(50)),
  config_file: optional(text(51)),
  tcp_close: optional(bool(52)),
  lsm_profile: optional(text(53)),
  tls_cacert: optional(text(54)),
  tls_cacrl: optional(text(55)),
  tls_cert: optional(text(56)),
  tls_key: optional(text(57)),
  tls: optional(bool(58)),
  tls_no_cn_verify: optional(bool(59)),
  cgroup_yard: optional(text(60)),
  pre_dump_mode: optional(choice(61, criu_pre_dump_mode), criu_pre_dump_mode.SPLICE),
  pidfd_store_sk: optional(i32(62)),
  lsm_mount_context: optional(text(63)),
  network_lock: optional(choice(64, criu_network_lock_method), criu_network_lock_method.IPTABLES),
  mntns_compat_mode: optional(bool(65)),
  skip_file_rwx_check: optional(bool(66)),
  unprivileged: optional(bool(67)),
  leave_stopped: optional(bool(69)),
  display_stats: optional(bool(70)),
  log_to_stderr: optional(bool(71)),
}))
export type criu_opts = State<typeof criu_opts>

export const criu_dump_resp = message('criu_dump_resp', () => ({
  restored: optional(bool(1)), // The caller is reading this in the restored process.
}))
export type criu_dump_resp = State<typeof criu_dump_resp>

export const criu_restore_resp = message('criu_restore_resp', () => ({ pid: i32(1) }))
export type criu_restore_resp = State<typeof criu_restore_resp>

/** A stage that was reached; the client answers before we go on. */
export const criu_notify = message('criu_notify', () => ({
  script: optional(text(1)), // The name of the stage: pre-dump, post-restore, …
  pid: optional(i32(2)),
}))
export type criu_notify = State<typeof criu_notify>

/** What a client asks about, and in the answer what there is. */
export const criu_features = message('criu_features', () => ({
  mem_track: optional(bool(1)),
  lazy_pages: optional(bool(2)),
  pidfd_store: optional(bool(3)),
}))
export type criu_features = State<typeof criu_features>

/** A request. */
export const criu_req = message('criu_req', () => ({
  type: choice(1, criu_req_type),
  opts: optional(inner(2, criu_opts)),
  notify_success: optional(bool(3)), // The client acknowledges a stage.
  keep_open: optional(bool(4)), // More requests follow on the connection.
  features: optional(inner(5, criu_features)),
  pid: optional(u32(6)), // For WAIT_PID.
}))
export type criu_req = State<typeof criu_req>

export const criu_version = message('criu_version', () => ({
  major_number: i32(1),
  minor_number: i32(2),
  gitid: optional(text(3)),
  sublevel: optional(i32(4)),
  extra: optional(i32(5)),
  name: optional(text(6)),
}))
export type criu_version = State<typeof criu_version>

/** An answer. */
export const criu_resp = message('criu_resp', () => ({
  type: choice(1, criu_req_type),
  success: bool(2),
  dump: optional(inner(3, criu_dump_resp)),
  restore: optional(inner(4, criu_restore_resp)),
  notify: optional(inner(5, criu_notify)),
  ps: optional(inner(6, criu_page_server_info)),
  cr_errno: optional(i32(7)), // A positive errno.
  features: optional(inner(8, criu_features)),
  cr_errmsg: optional(text(9)),
  version: optional(inner(10, criu_version)),
  status: optional(i32(11)), // For WAIT_PID.
}))
export type criu_resp = State<typeof criu_resp>
