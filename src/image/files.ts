// Which files an image directory can hold: name, magic, entries, and what follows an entry.
import { once } from '../base/run.ts'
import { type Message, type State } from './words.ts'
import { apparmor_entry } from './messages/apparmor.ts'
import { bpfmap_data_entry, bpfmap_file_entry } from './messages/bpf.ts'
import { cgroup_entry } from './messages/cgroup.ts'
import { core_entry, rlimit_entry, task_kobj_ids_entry } from './messages/core.ts'
import { cpuinfo_entry } from './messages/cpu.ts'
import { creds_entry } from './messages/creds.ts'
import {
  eventfd_file_entry,
  eventpoll_file_entry,
  eventpoll_tfd_entry,
  pidfd_entry,
  signalfd_entry,
  timerfd_entry,
} from './messages/events.ts'
import { fdinfo_entry, file_entry } from './messages/files.ts'
import { fanotify_file_entry, fanotify_mark_entry, inotify_file_entry, inotify_wd_entry } from './messages/fsnotify.ts'
import { inventory_entry } from './messages/inventory.ts'
import { ipc_msg, ipc_msg_entry, ipc_sem_entry, ipc_shm_entry, ipc_var_entry } from './messages/ipc.ts'
import { memfd_inode_entry } from './messages/memfd.ts'
import { mm_entry, pagemap_entry, pagemap_head, vma_entry } from './messages/mm.ts'
import { net_device_entry, netns_entry, tunfile_entry } from './messages/net.ts'
import {
  autofs_entry,
  binfmt_misc_entry,
  mnt_entry,
  pidns_entry,
  timens_entry,
  userns_entry,
  utsns_entry,
} from './messages/ns.ts'
import { fifo_entry, pipe_data_entry, pipe_entry } from './messages/pipes.ts'
import { pstree_entry } from './messages/pstree.ts'
import {
  ext_file_entry,
  file_lock_entry,
  fs_entry,
  ghost_chunk_entry,
  ghost_file_entry,
  irmap_cache_entry,
  ns_file_entry,
  reg_file_entry,
  remap_file_path_entry,
} from './messages/regular.ts'
import { seccomp_entry } from './messages/seccomp.ts'
import { sa_entry } from './messages/signals.ts'
import {
  inet_sk_entry,
  netlink_sk_entry,
  packet_sock_entry,
  sk_packet_entry,
  tcp_stream_entry,
  unix_sk_entry,
} from './messages/sockets.ts'
import { stats_entry } from './messages/stats.ts'
import { itimer_entry, posix_timer_entry } from './messages/timers.ts'
import { tty_data_entry, tty_file_entry, tty_info_entry } from './messages/tty.ts'

/** In front of the file's own magic; inventory.img has only its own. */
export const IMG_COMMON_MAGIC = 0x54564319
/** The same, for files that are about an image and not of it. */
export const IMG_SERVICE_MAGIC = 0x55105940

/** Bytes that follow an entry. */
export interface Payload<E> {
  /** How many bytes count; a file that is cut short is refused. `rest` takes all up to the file's end. */
  readonly size: (entry: E) => bigint | number | 'rest'
  /** The size is padded to a multiple of this in the file. */
  readonly align?: number
}

/** Further messages that follow an entry, each with bytes of its own. */
export interface Parts<E> {
  readonly message: Message
  /** How many; `rest`: as many as there are up to the file's end. */
  readonly count: (entry: E) => number | 'rest'
  readonly payload: Payload<never>
}

export interface ImageFile<M extends Message = Message, R extends Message = Message> {
  /** The name, with `%u` and `%x` for what tells files of one kind apart. */
  readonly name: string
  readonly magic: number
  /** What stands in front of the magic. */
  readonly before: 'common' | 'service' | 'nothing'
  readonly entry: M
  /** The message of all entries but the first, where it is another. */
  readonly following?: R
  readonly payload?: Payload<never>
  readonly parts?: Parts<never>
}

const file = <const M extends Message>(
  name: string,
  magic: number,
  entry: M,
  follows: { payload?: Payload<State<M>>; parts?: Parts<State<M>> } = {},
): ImageFile<M> => ({ name, magic, before: 'common', entry, ...follows })

const pagemap = (name: string): ImageFile<typeof pagemap_head, typeof pagemap_entry> => ({
  name,
  magic: 0x56084025,
  before: 'common',
  entry: pagemap_head,
  following: pagemap_entry,
})

const inPipe = { payload: { size: (entry: pipe_data_entry) => entry.bytes } }

/** Files that hold messages, by CRIU's key. */
export const imageFiles = {
  INVENTORY: { ...file('inventory.img', 0x58313116, inventory_entry), before: 'nothing' },
  PSTREE: file('pstree.img', 0x50273030, pstree_entry),
  CORE: file('core-%u.img', 0x55053847, core_entry),
  IDS: file('ids-%u.img', 0x54432030, task_kobj_ids_entry),
  MM: file('mm-%u.img', 0x57492820, mm_entry),
  PAGEMAP: pagemap('pagemap-%u.img'),
  SHMEM_PAGEMAP: pagemap('pagemap-shmem-%u.img'),
  FS: file('fs-%u.img', 0x51403912, fs_entry),
  SECCOMP: file('seccomp.img', 0x64413049, seccomp_entry),
  CGROUP: file('cgroup.img', 0x59383330, cgroup_entry),
  CPUINFO: file('cpuinfo.img', 0x61404013, cpuinfo_entry),
  APPARMOR: file('apparmor.img', 0x59423047, apparmor_entry),

  FDINFO: file('fdinfo-%u.img', 0x56213732, fdinfo_entry),
  FILES: file('files.img', 0x56303138, file_entry),
  REMAP_FPATH: file('remap-fpath.img', 0x59133954, remap_file_path_entry),
  GHOST_FILE: file('ghost-file-%x.img', 0x52583605, ghost_file_entry, {
    payload: { size: entry => (entry.chunks === true ? 0 : 'rest') },
    parts: {
      message: ghost_chunk_entry,
      count: entry => (entry.chunks === true ? 'rest' : 0),
      payload: { size: (chunk: ghost_chunk_entry) => chunk.len },
    },
  }),
  MEMFD_INODE: file('memfd.img', 0x48453499, memfd_inode_entry),
  PIPES_DATA: file('pipes-data.img', 0x56453709, pipe_data_entry, inPipe),
  FIFO_DATA: file('fifo-data.img', 0x59333054, pipe_data_entry, inPipe),
  TTY_INFO: file('tty-info.img', 0x59453036, tty_info_entry),
  TTY_DATA: file('tty-data.img', 0x59413026, tty_data_entry),
  FILE_LOCKS: file('filelocks.img', 0x54323616, file_lock_entry),
  SK_QUEUES: file('sk-queues.img', 0x56264026, sk_packet_entry, { payload: { size: entry => entry.length } }),
  TCP_STREAM: file('tcp-stream-%x.img', 0x51465506, tcp_stream_entry, {
    payload: { size: entry => entry.inq_len + entry.outq_len },
  }),
  BPFMAP_DATA: file('bpfmap-data.img', 0x64324033, bpfmap_data_entry, {
    payload: { size: entry => entry.keys_bytes + entry.values_bytes },
  }),

  UTSNS: file('utsns-%u.img', 0x54473203, utsns_entry),
  USERNS: file('userns-%u.img', 0x55474906, userns_entry),
  PIDNS: file('pidns-%u.img', 0x61157326, pidns_entry),
  TIMENS: file('timens-%u.img', 0x43114433, timens_entry),
  MNTS: file('mountpoints-%u.img', 0x55563928, mnt_entry),
  AUTOFS: file('autofs-%u.img', 0x49353943, autofs_entry),
  BINFMT_MISC: file('binfmt-misc.img', 0x67343323, binfmt_misc_entry),
  NETNS: file('netns-%u.img', 0x55933752, netns_entry),
  NETDEV: file('netdev-%u.img', 0x57373951, net_device_entry),
  IPC_VAR: file('ipcns-var-%u.img', 0x53115007, ipc_var_entry),
  IPCNS_SHM: file('ipcns-shm-%u.img', 0x46283044, ipc_shm_entry, {
    payload: { size: entry => (entry.in_pagemaps === true ? 0 : entry.size), align: 4 },
  }),
  IPCNS_MSG: file('ipcns-msg-%u.img', 0x55453737, ipc_msg_entry, {
    parts: {
      message: ipc_msg,
      count: entry => entry.qnum,
      payload: { size: (sent: ipc_msg) => sent.msize, align: 8 },
    },
  }),
  IPCNS_SEM: file('ipcns-sem-%u.img', 0x59573019, ipc_sem_entry, {
    payload: { size: entry => entry.nsems * 2, align: 8 },
  }),

  STATS: { ...file('stats-%s', 0x57093306, stats_entry), before: 'service' },
  IRMAP_CACHE: { ...file('irmap-cache', 0x57004059, irmap_cache_entry), before: 'service' },

  // What older versions of CRIU wrote each into a file of its own is now in core or files images.
  VMAS: file('vmas-%u.img', 0x54123737, vma_entry),
  CREDS: file('creds-%u.img', 0x54023547, creds_entry),
  RLIMIT: file('rlimit-%u.img', 0x57113925, rlimit_entry),
  SIGACT: file('sigacts-%u.img', 0x55344201, sa_entry),
  ITIMERS: file('itimers-%u.img', 0x57464056, itimer_entry),
  POSIX_TIMERS: file('posix-timers-%u.img', 0x52603957, posix_timer_entry),
  REG_FILES: file('reg-files.img', 0x50363636, reg_file_entry),
  EXT_FILES: file('ext-files.img', 0x59255641, ext_file_entry),
  NS_FILES: file('ns-files.img', 0x61394011, ns_file_entry),
  EVENTFD_FILE: file('eventfd.img', 0x44523722, eventfd_file_entry),
  EVENTPOLL_FILE: file('eventpoll.img', 0x45023858, eventpoll_file_entry),
  EVENTPOLL_TFD: file('eventpoll-tfd.img', 0x44433746, eventpoll_tfd_entry),
  SIGNALFD: file('signalfd.img', 0x57323820, signalfd_entry),
  TIMERFD: file('timerfd.img', 0x50493712, timerfd_entry),
  PIDFD: file('pidfd.img', 0x54435556, pidfd_entry),
  INOTIFY_FILE: file('inotify.img', 0x48424431, inotify_file_entry),
  INOTIFY_WD: file('inotify-wd.img', 0x54562009, inotify_wd_entry),
  FANOTIFY_FILE: file('fanotify.img', 0x55096122, fanotify_file_entry),
  FANOTIFY_MARK: file('fanotify-mark.img', 0x56506035, fanotify_mark_entry),
  PIPES: file('pipes.img', 0x56513555, pipe_entry),
  FIFO: file('fifo.img', 0x58364939, fifo_entry),
  TTY_FILES: file('tty.img', 0x59433025, tty_file_entry),
  TUNFILE: file('tunfile.img', 0x57143751, tunfile_entry),
  BPFMAP_FILE: file('bpfmap-file.img', 0x57506142, bpfmap_file_entry),
  UNIXSK: file('unixsk.img', 0x54373943, unix_sk_entry),
  INETSK: file('inetsk.img', 0x56443851, inet_sk_entry),
  PACKETSK: file('packetsk.img', 0x60454618, packet_sock_entry),
  NETLINK_SK: file('netlinksk.img', 0x58005614, netlink_sk_entry),
} as const satisfies Record<string, ImageFile>

/** Files without a header: bytes that a tool or the kernel made. */
export const rawFiles = {
  PAGES: 'pages-%u.img',
  IFADDR: 'ifaddr-%u.img',
  ROUTE: 'route-%u.img',
  ROUTE6: 'route6-%u.img',
  RULE: 'rule-%u.img',
  IPTABLES: 'iptables-%u.img',
  IP6TABLES: 'ip6tables-%u.img',
  NFTABLES: 'nftables-%u.img',
  NETNF_CT: 'netns-ct-%u.img',
  NETNF_EXP: 'netns-exp-%u.img',
  TMPFS_IMG: 'tmpfs-%u.tar.gz',
  TMPFS_DEV: 'tmpfs-dev-%u.tar.gz',
} as const satisfies Record<string, string>

export type ImageKey = keyof typeof imageFiles
export type RawKey = keyof typeof rawFiles

/** The message of a file's entries: of the first one, where the others have another. */
export type EntryOf<K extends ImageKey> = State<(typeof imageFiles)[K]['entry']>

/** The message of a file's other entries, where the first has one of its own. */
export type FollowingOf<K extends ImageKey> =
  (typeof imageFiles)[K] extends ImageFile<infer _, infer R> ? (Message extends R ? never : State<R>) : never

/** What tells files of one key apart: a pid or another id; for STATS `dump` or `restore`. */
export type FileId = number | bigint | string

/** The name of a file: `fileName('CORE', 3490)` is `core-3490.img`. The number of ids must be that of the pattern. */
export function fileName(key: ImageKey | RawKey, ...ids: readonly FileId[]): string {
  const pattern = key in imageFiles ? imageFiles[key as ImageKey].name : rawFiles[key as RawKey]
  let next = 0
  const name = pattern.replace(/%[usx]/g, verb => {
    const id = ids[next++]
    if (id === undefined) throw new RangeError(`${pattern} needs an id`)
    return verb === '%x' && typeof id !== 'string' ? id.toString(16) : String(id)
  })
  if (next !== ids.length) throw new RangeError(`${pattern} takes ${next} ids, not ${ids.length}`)
  return name
}

const patterns = once(() =>
  [...Object.entries(imageFiles), ...Object.entries(rawFiles)].map(([key, known]) => ({
    key: key as ImageKey | RawKey,
    pattern: patternOf(typeof known === 'string' ? known : known.name),
  })),
)

/** The key of a file in an image directory by its name, undefined for a file that is none of ours. */
export const keyOf = (name: string): ImageKey | RawKey | undefined =>
  patterns().find(known => known.pattern.test(name))?.key

const verbs: Readonly<Record<string, string>> = { '%u': '\\d+', '%x': '[0-9a-f]+', '%s': '(?:dump|restore)' }

const patternOf = (name: string): RegExp =>
  new RegExp(`^${name.replaceAll('.', '\\.').replace(/%[usx]/g, verb => verbs[verb]!)}$`)
