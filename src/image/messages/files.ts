// Descriptors: fdinfo-<files_id>.img says which number is which file, files.img what each file is.
import { choice, enumeration, inner, message, optional, text, u32, type State } from '../words.ts'
import { bpfmap_file_entry } from './bpf.ts'
import { eventfd_file_entry, eventpoll_file_entry, pidfd_entry, signalfd_entry, timerfd_entry } from './events.ts'
import { fanotify_file_entry, inotify_file_entry } from './fsnotify.ts'
import { memfd_file_entry } from './memfd.ts'
import { tunfile_entry } from './net.ts'
import { fifo_entry, pipe_entry } from './pipes.ts'
import { ext_file_entry, ns_file_entry, reg_file_entry } from './regular.ts'
import { inet_sk_entry, netlink_sk_entry, packet_sock_entry, unix_sk_entry } from './sockets.ts'
import { tty_file_entry } from './tty.ts'

/** What a descriptor is. The last two never reach files.img. */
export const fd_types = enumeration('fd_types', {
  UND: 0,
  REG: 1,
  PIPE: 2,
  FIFO: 3,
  INETSK: 4,
  UNIXSK: 5,
  EVENTFD: 6,
  EVENTPOLL: 7,
  INOTIFY: 8,
  SIGNALFD: 9,
  PACKETSK: 10,
  TTY: 11,
  FANOTIFY: 12,
  NETLINKSK: 13,
  NS: 14,
  TUNF: 15,
  EXT: 16,
  TIMERFD: 17,
  MEMFD: 18,
  BPFMAP: 19,
  PIDFD: 20,
  CTL_TTY: 65534,
  AUTOFS_PIPE: 65535,
})

/** One descriptor number of a table of descriptors. */
export const fdinfo_entry = message('fdinfo_entry', () => ({
  id: u32(1), // The file_entry of that id and type.
  flags: u32(2), // FD_CLOEXEC or 0.
  type: choice(3, fd_types),
  fd: u32(4), // The number in the task.
  xattr_security_selinux: optional(text(5)),
}))
export type fdinfo_entry = State<typeof fdinfo_entry>

/** One open file description; of the optional fields the one that `type` names is there. */
export const file_entry = message('file_entry', () => ({
  type: choice(1, fd_types),
  id: u32(2), // Also in the message below.
  reg: optional(inner(3, reg_file_entry)),
  isk: optional(inner(4, inet_sk_entry)),
  nsf: optional(inner(5, ns_file_entry)),
  psk: optional(inner(6, packet_sock_entry)),
  nlsk: optional(inner(7, netlink_sk_entry)),
  efd: optional(inner(8, eventfd_file_entry)),
  epfd: optional(inner(9, eventpoll_file_entry)),
  sgfd: optional(inner(10, signalfd_entry)),
  tunf: optional(inner(11, tunfile_entry)),
  tfd: optional(inner(12, timerfd_entry)),
  ify: optional(inner(13, inotify_file_entry)),
  ffy: optional(inner(14, fanotify_file_entry)),
  ext: optional(inner(15, ext_file_entry)),
  usk: optional(inner(16, unix_sk_entry)),
  fifo: optional(inner(17, fifo_entry)),
  pipe: optional(inner(18, pipe_entry)),
  tty: optional(inner(19, tty_file_entry)),
  memfd: optional(inner(20, memfd_file_entry)),
  bpf: optional(inner(21, bpfmap_file_entry)),
  pidfd: optional(inner(22, pidfd_entry)),
}))
export type file_entry = State<typeof file_entry>
