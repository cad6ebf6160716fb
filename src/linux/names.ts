// The kernel's names of numbers, for the printed program: flags, options and requests of the calls of a restore.
// Values are of the headers under include/uapi, x86-64's where they depend on the machine. Only `--explain` loads this.
import type { CallName } from './nr.ts'

type Value = number | bigint
type Names = Readonly<Record<string, number>>
/** How a number is shown. `args` are the arguments of its call, in which what a number means may depend on another. */
type Form = (value: Value, args: readonly unknown[]) => string

const OPEN_BITS: Names = {
  // Those of several bits come first, so that they are not taken for their parts.
  O_TMPFILE: 0o20200000,
  O_SYNC: 0o4010000,
  O_CREAT: 0o100,
  O_EXCL: 0o200,
  O_NOCTTY: 0o400,
  O_TRUNC: 0o1000,
  O_APPEND: 0o2000,
  O_NONBLOCK: 0o4000,
  O_DSYNC: 0o10000,
  O_ASYNC: 0o20000,
  O_DIRECT: 0o40000,
  O_LARGEFILE: 0o100000,
  O_DIRECTORY: 0o200000,
  O_NOFOLLOW: 0o400000,
  O_NOATIME: 0o1000000,
  O_CLOEXEC: 0o2000000,
  O_PATH: 0o10000000,
}
const ACCESS = ['O_RDONLY', 'O_WRONLY', 'O_RDWR', 'O_ACCMODE']
const AT: Names = {
  AT_SYMLINK_NOFOLLOW: 0x100,
  AT_REMOVEDIR: 0x200,
  AT_SYMLINK_FOLLOW: 0x400,
  AT_NO_AUTOMOUNT: 0x800,
  AT_EMPTY_PATH: 0x1000,
}
const FILE_TYPES: Names = {
  S_IFSOCK: 0o140000,
  S_IFLNK: 0o120000,
  S_IFREG: 0o100000,
  S_IFBLK: 0o060000,
  S_IFDIR: 0o040000,
  S_IFCHR: 0o020000,
  S_IFIFO: 0o010000,
}
const FALLOC: Names = {
  FALLOC_FL_KEEP_SIZE: 1,
  FALLOC_FL_PUNCH_HOLE: 2,
  FALLOC_FL_COLLAPSE_RANGE: 8,
  FALLOC_FL_ZERO_RANGE: 16,
  FALLOC_FL_INSERT_RANGE: 32,
  FALLOC_FL_UNSHARE_RANGE: 64,
}
const SEEK: Names = { SEEK_SET: 0, SEEK_CUR: 1, SEEK_END: 2, SEEK_DATA: 3, SEEK_HOLE: 4 }
const SPLICE: Names = { SPLICE_F_MOVE: 1, SPLICE_F_NONBLOCK: 2, SPLICE_F_MORE: 4, SPLICE_F_GIFT: 8 }
const MFD: Names = { MFD_CLOEXEC: 1, MFD_ALLOW_SEALING: 2, MFD_HUGETLB: 4, MFD_NOEXEC_SEAL: 8, MFD_EXEC: 16 }

const PROT: Names = { PROT_READ: 1, PROT_WRITE: 2, PROT_EXEC: 4, PROT_GROWSDOWN: 0x1000000, PROT_GROWSUP: 0x2000000 }
const MAP_TYPES: Names = { MAP_SHARED: 1, MAP_PRIVATE: 2, MAP_SHARED_VALIDATE: 3, MAP_DROPPABLE: 8 }
const MAP: Names = {
  MAP_FIXED: 0x10,
  MAP_FIXED_NOREPLACE: 0x100000,
  MAP_ANONYMOUS: 0x20,
  MAP_32BIT: 0x40,
  MAP_ABOVE4G: 0x80,
  MAP_GROWSDOWN: 0x100,
  MAP_DENYWRITE: 0x800,
  MAP_EXECUTABLE: 0x1000,
  MAP_LOCKED: 0x2000,
  MAP_NORESERVE: 0x4000,
  MAP_POPULATE: 0x8000,
  MAP_NONBLOCK: 0x10000,
  MAP_STACK: 0x20000,
  MAP_HUGETLB: 0x40000,
  MAP_SYNC: 0x80000,
}
const MREMAP: Names = { MREMAP_MAYMOVE: 1, MREMAP_FIXED: 2, MREMAP_DONTUNMAP: 4 }
const MADV: Names = {
  MADV_NORMAL: 0,
  MADV_RANDOM: 1,
  MADV_SEQUENTIAL: 2,
  MADV_WILLNEED: 3,
  MADV_DONTNEED: 4,
  MADV_FREE: 8,
  MADV_REMOVE: 9,
  MADV_DONTFORK: 10,
  MADV_DOFORK: 11,
  MADV_MERGEABLE: 12,
  MADV_UNMERGEABLE: 13,
  MADV_HUGEPAGE: 14,
  MADV_NOHUGEPAGE: 15,
  MADV_DONTDUMP: 16,
  MADV_DODUMP: 17,
  MADV_WIPEONFORK: 18,
  MADV_KEEPONFORK: 19,
  MADV_COLD: 20,
  MADV_PAGEOUT: 21,
  MADV_POPULATE_READ: 22,
  MADV_POPULATE_WRITE: 23,
  MADV_DONTNEED_LOCKED: 24,
  MADV_COLLAPSE: 25,
  MADV_GUARD_INSTALL: 102,
  MADV_GUARD_REMOVE: 103,
}
const MLOCK: Names = { MLOCK_ONFAULT: 1 }
const SHM: Names = { SHM_RDONLY: 0o10000, SHM_RND: 0o20000, SHM_REMAP: 0o40000, SHM_EXEC: 0o100000 }

const FCNTL: Names = {
  F_DUPFD: 0,
  F_GETFD: 1,
  F_SETFD: 2,
  F_GETFL: 3,
  F_SETFL: 4,
  F_GETLK: 5,
  F_SETLK: 6,
  F_SETLKW: 7,
  F_SETOWN: 8,
  F_GETOWN: 9,
  F_SETSIG: 10,
  F_GETSIG: 11,
  F_SETOWN_EX: 15,
  F_GETOWN_EX: 16,
  F_GETOWNER_UIDS: 17,
  F_OFD_GETLK: 36,
  F_OFD_SETLK: 37,
  F_OFD_SETLKW: 38,
  F_SETLEASE: 1024,
  F_GETLEASE: 1025,
  F_NOTIFY: 1026,
  F_DUPFD_QUERY: 1027,
  F_CREATED_QUERY: 1028,
  F_CANCELLK: 1029,
  F_DUPFD_CLOEXEC: 1030,
  F_SETPIPE_SZ: 1031,
  F_GETPIPE_SZ: 1032,
  F_ADD_SEALS: 1033,
  F_GET_SEALS: 1034,
  F_GET_RW_HINT: 1035,
  F_SET_RW_HINT: 1036,
  F_GET_FILE_RW_HINT: 1037,
  F_SET_FILE_RW_HINT: 1038,
}
const SEALS: Names = {
  F_SEAL_SEAL: 1,
  F_SEAL_SHRINK: 2,
  F_SEAL_GROW: 4,
  F_SEAL_WRITE: 8,
  F_SEAL_FUTURE_WRITE: 16,
  F_SEAL_EXEC: 32,
}

const PRCTL: Names = {
  PR_SET_PDEATHSIG: 1,
  PR_GET_PDEATHSIG: 2,
  PR_GET_DUMPABLE: 3,
  PR_SET_DUMPABLE: 4,
  PR_GET_KEEPCAPS: 7,
  PR_SET_KEEPCAPS: 8,
  PR_SET_NAME: 15,
  PR_GET_NAME: 16,
  PR_GET_SECCOMP: 21,
  PR_SET_SECCOMP: 22,
  PR_CAPBSET_READ: 23,
  PR_CAPBSET_DROP: 24,
  PR_GET_TSC: 25,
  PR_SET_TSC: 26,
  PR_GET_SECUREBITS: 27,
  PR_SET_SECUREBITS: 28,
  PR_SET_TIMERSLACK: 29,
  PR_GET_TIMERSLACK: 30,
  PR_MCE_KILL: 33,
  PR_MCE_KILL_GET: 34,
  PR_SET_MM: 35,
  PR_SET_CHILD_SUBREAPER: 36,
  PR_GET_CHILD_SUBREAPER: 37,
  PR_SET_NO_NEW_PRIVS: 38,
  PR_GET_NO_NEW_PRIVS: 39,
  PR_GET_TID_ADDRESS: 40,
  PR_SET_THP_DISABLE: 41,
  PR_GET_THP_DISABLE: 42,
  PR_CAP_AMBIENT: 47,
  PR_GET_SPECULATION_CTRL: 52,
  PR_SET_SPECULATION_CTRL: 53,
  PR_SET_IO_FLUSHER: 57,
  PR_GET_IO_FLUSHER: 58,
  PR_SET_SYSCALL_USER_DISPATCH: 59,
  PR_SCHED_CORE: 62,
  PR_SET_MDWE: 65,
  PR_GET_MDWE: 66,
  PR_SET_MEMORY_MERGE: 67,
  PR_GET_MEMORY_MERGE: 68,
  PR_TIMER_CREATE_RESTORE_IDS: 77,
  PR_SET_VMA: 0x53564d41,
  PR_SET_PTRACER: 0x59616d61,
}
const PR_SET_MM: Names = {
  PR_SET_MM_START_CODE: 1,
  PR_SET_MM_END_CODE: 2,
  PR_SET_MM_START_DATA: 3,
  PR_SET_MM_END_DATA: 4,
  PR_SET_MM_START_STACK: 5,
  PR_SET_MM_START_BRK: 6,
  PR_SET_MM_BRK: 7,
  PR_SET_MM_ARG_START: 8,
  PR_SET_MM_ARG_END: 9,
  PR_SET_MM_ENV_START: 10,
  PR_SET_MM_ENV_END: 11,
  PR_SET_MM_AUXV: 12,
  PR_SET_MM_EXE_FILE: 13,
  PR_SET_MM_MAP: 14,
  PR_SET_MM_MAP_SIZE: 15,
}
const AMBIENT: Names = {
  PR_CAP_AMBIENT_IS_SET: 1,
  PR_CAP_AMBIENT_RAISE: 2,
  PR_CAP_AMBIENT_LOWER: 3,
  PR_CAP_AMBIENT_CLEAR_ALL: 4,
}
const SECCOMP_MODE: Names = { SECCOMP_MODE_STRICT: 1, SECCOMP_MODE_FILTER: 2 }
const SECCOMP: Names = {
  SECCOMP_SET_MODE_STRICT: 0,
  SECCOMP_SET_MODE_FILTER: 1,
  SECCOMP_GET_ACTION_AVAIL: 2,
  SECCOMP_GET_NOTIF_SIZES: 3,
}
const SECCOMP_FLAGS: Names = {
  SECCOMP_FILTER_FLAG_TSYNC: 1,
  SECCOMP_FILTER_FLAG_LOG: 2,
  SECCOMP_FILTER_FLAG_SPEC_ALLOW: 4,
  SECCOMP_FILTER_FLAG_NEW_LISTENER: 8,
  SECCOMP_FILTER_FLAG_TSYNC_ESRCH: 16,
  SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV: 32,
}
/** By number. */
const CAPABILITIES = (
  'CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE ' +
  'NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN ' +
  'SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE ' +
  'MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE'
).split(' ')

const CLONE: Names = {
  CLONE_NEWTIME: 0x80,
  CLONE_VM: 0x100,
  CLONE_FS: 0x200,
  CLONE_FILES: 0x400,
  CLONE_SIGHAND: 0x800,
  CLONE_PIDFD: 0x1000,
  CLONE_PTRACE: 0x2000,
  CLONE_VFORK: 0x4000,
  CLONE_PARENT: 0x8000,
  CLONE_THREAD: 0x10000,
  CLONE_NEWNS: 0x20000,
  CLONE_SYSVSEM: 0x40000,
  CLONE_SETTLS: 0x80000,
  CLONE_PARENT_SETTID: 0x100000,
  CLONE_CHILD_CLEARTID: 0x200000,
  CLONE_DETACHED: 0x400000,
  CLONE_UNTRACED: 0x800000,
  CLONE_CHILD_SETTID: 0x1000000,
  CLONE_NEWCGROUP: 0x2000000,
  CLONE_NEWUTS: 0x4000000,
  CLONE_NEWIPC: 0x8000000,
  CLONE_NEWUSER: 0x10000000,
  CLONE_NEWPID: 0x20000000,
  CLONE_NEWNET: 0x40000000,
  CLONE_IO: 0x80000000,
  CLONE_CLEAR_SIGHAND: 0x100000000,
  CLONE_INTO_CGROUP: 0x200000000,
}
/** By number, from 1. */
const SIGNALS = (
  'HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP TSTP TTIN TTOU URG ' +
  'XCPU XFSZ VTALRM PROF WINCH IO PWR SYS'
).split(' ')
const SIGRTMIN = 32
const SIGRTMAX = 64
const SIG_HOW: Names = { SIG_BLOCK: 0, SIG_UNBLOCK: 1, SIG_SETMASK: 2 }
const ITIMERS: Names = { ITIMER_REAL: 0, ITIMER_VIRTUAL: 1, ITIMER_PROF: 2 }
const CLOCKS: Names = {
  CLOCK_REALTIME: 0,
  CLOCK_MONOTONIC: 1,
  CLOCK_PROCESS_CPUTIME_ID: 2,
  CLOCK_THREAD_CPUTIME_ID: 3,
  CLOCK_MONOTONIC_RAW: 4,
  CLOCK_REALTIME_COARSE: 5,
  CLOCK_MONOTONIC_COARSE: 6,
  CLOCK_BOOTTIME: 7,
  CLOCK_REALTIME_ALARM: 8,
  CLOCK_BOOTTIME_ALARM: 9,
  CLOCK_TAI: 11,
}
const TIMER: Names = { TIMER_ABSTIME: 1 }
const TFD_TIMER: Names = { TFD_TIMER_ABSTIME: 1, TFD_TIMER_CANCEL_ON_SET: 2 }
const LIMITS: Names = {
  RLIMIT_CPU: 0,
  RLIMIT_FSIZE: 1,
  RLIMIT_DATA: 2,
  RLIMIT_STACK: 3,
  RLIMIT_CORE: 4,
  RLIMIT_RSS: 5,
  RLIMIT_NPROC: 6,
  RLIMIT_NOFILE: 7,
  RLIMIT_MEMLOCK: 8,
  RLIMIT_AS: 9,
  RLIMIT_LOCKS: 10,
  RLIMIT_SIGPENDING: 11,
  RLIMIT_MSGQUEUE: 12,
  RLIMIT_NICE: 13,
  RLIMIT_RTPRIO: 14,
  RLIMIT_RTTIME: 15,
}
const PRIO: Names = { PRIO_PROCESS: 0, PRIO_PGRP: 1, PRIO_USER: 2 }
const SCHED: Names = {
  SCHED_OTHER: 0,
  SCHED_FIFO: 1,
  SCHED_RR: 2,
  SCHED_BATCH: 3,
  SCHED_IDLE: 5,
  SCHED_DEADLINE: 6,
  SCHED_EXT: 7,
}
const ARCH: Names = { ARCH_SET_GS: 0x1001, ARCH_SET_FS: 0x1002, ARCH_GET_FS: 0x1003, ARCH_GET_GS: 0x1004 }
const CLOSE_RANGE: Names = { CLOSE_RANGE_UNSHARE: 2, CLOSE_RANGE_CLOEXEC: 4 }
const EPOLL_OPS: Names = { EPOLL_CTL_ADD: 1, EPOLL_CTL_DEL: 2, EPOLL_CTL_MOD: 3 }
const EFD: Names = { EFD_SEMAPHORE: 1, EFD_NONBLOCK: 0o4000, EFD_CLOEXEC: 0o2000000 }
const AF: Names = { AF_UNSPEC: 0, AF_UNIX: 1, AF_INET: 2, AF_INET6: 10, AF_NETLINK: 16, AF_PACKET: 17, AF_VSOCK: 40 }
const SOCK_TYPES: Names = {
  SOCK_STREAM: 1,
  SOCK_DGRAM: 2,
  SOCK_RAW: 3,
  SOCK_RDM: 4,
  SOCK_SEQPACKET: 5,
  SOCK_PACKET: 10,
}
const SOCK: Names = { SOCK_NONBLOCK: 0o4000, SOCK_CLOEXEC: 0o2000000 }

/** Requests for terminals (asm-generic/ioctls.h), and those beside them that every file takes. */
const IOCTLS: Names = {
  TCGETS: 0x5401,
  TCSETS: 0x5402,
  TCSETSW: 0x5403,
  TCSETSF: 0x5404,
  TCGETA: 0x5405,
  TCSETA: 0x5406,
  TCSETAW: 0x5407,
  TCSETAF: 0x5408,
  TCSBRK: 0x5409,
  TCXONC: 0x540a,
  TCFLSH: 0x540b,
  TIOCEXCL: 0x540c,
  TIOCNXCL: 0x540d,
  TIOCSCTTY: 0x540e,
  TIOCGPGRP: 0x540f,
  TIOCSPGRP: 0x5410,
  TIOCOUTQ: 0x5411,
  TIOCSTI: 0x5412,
  TIOCGWINSZ: 0x5413,
  TIOCSWINSZ: 0x5414,
  TIOCMGET: 0x5415,
  TIOCMBIS: 0x5416,
  TIOCMBIC: 0x5417,
  TIOCMSET: 0x5418,
  TIOCGSOFTCAR: 0x5419,
  TIOCSSOFTCAR: 0x541a,
  FIONREAD: 0x541b,
  TIOCLINUX: 0x541c,
  TIOCCONS: 0x541d,
  TIOCGSERIAL: 0x541e,
  TIOCSSERIAL: 0x541f,
  TIOCPKT: 0x5420,
  FIONBIO: 0x5421,
  TIOCNOTTY: 0x5422,
  TIOCSETD: 0x5423,
  TIOCGETD: 0x5424,
  TCSBRKP: 0x5425,
  TIOCSBRK: 0x5427,
  TIOCCBRK: 0x5428,
  TIOCGSID: 0x5429,
  TCGETS2: 0x802c542a,
  TCSETS2: 0x402c542b,
  TCSETSW2: 0x402c542c,
  TCSETSF2: 0x402c542d,
  TIOCGPTN: 0x80045430,
  TIOCSPTLCK: 0x40045431,
  TIOCGDEV: 0x80045432,
  TIOCSIG: 0x40045436,
  TIOCVHANGUP: 0x5437,
  TIOCGPKT: 0x80045438,
  TIOCGPTLCK: 0x80045439,
  TIOCGEXCL: 0x80045440,
  TIOCGPTPEER: 0x5441,
  FIONCLEX: 0x5450,
  FIOCLEX: 0x5451,
  FIOASYNC: 0x5452,
  TIOCGLCKTRMIOS: 0x5456,
  TIOCSLCKTRMIOS: 0x5457,
}

// ---- forms

const dec: Form = value => String(value)
const hex: Form = value => (value > 0 ? `0x${value.toString(16)}` : String(value))
const octal: Form = value => (value > 0 ? `0${value.toString(8)}` : String(value))
/** What is known by no name: small numbers as counts and ids are, others as addresses and masks are. */
const plain: Form = value => (value > 0xffff ? hex(value, []) : dec(value, []))
const directory: Form = value => (value === -100 ? 'AT_FDCWD' : dec(value, []))

/** The names of a table by its numbers, made when the table is first asked for. */
const byNumber = new Map<Names, ReadonlyMap<number, string>>()

function nameIn(table: Names, value: number): string | undefined {
  let names = byNumber.get(table)
  if (names === undefined) {
    names = new Map(Object.entries(table).map(([name, number]) => [number, name]))
    byNumber.set(table, names)
  }
  return names.get(value)
}

/** One of the table, or the number as `otherwise` shows it. */
const one =
  (table: Names, otherwise: Form = plain): Form =>
  (value, args) =>
    nameIn(table, Number(value)) ?? otherwise(value, args)

/** The bits of the table that are set, and the rest in hex; `none` if it is nothing. Some flags need 64 bits. */
function bitNames(value: Value, table: Names, first: string | undefined, none: string): string {
  if (value < 0) return String(value)
  const names = first === undefined ? [] : [first]
  let rest = BigInt(value)
  for (const [name, number] of Object.entries(table)) {
    const bits = BigInt(number)
    if ((rest & bits) !== bits) continue
    names.push(name)
    rest &= ~bits
  }
  if (rest !== 0n) names.push(hex(rest, []))
  return names.length === 0 ? none : names.join('|')
}

const bits =
  (table: Names, none = '0'): Form =>
  value =>
    bitNames(value, table, undefined, none)

/** Flags whose low bits, those of `mask`, are one of a table. */
const typed =
  (types: Names, mask: number, table: Names): Form =>
  value => {
    if (value < 0) return String(value)
    const type = Number(BigInt(value) & BigInt(mask))
    const name = nameIn(types, type)
    return name === undefined
      ? bitNames(value, table, undefined, '0')
      : bitNames(BigInt(value) - BigInt(type), table, name, name)
  }

const open: Form = value =>
  value < 0 ? String(value) : bitNames(BigInt(value) & ~3n, OPEN_BITS, ACCESS[Number(BigInt(value) & 3n)], '')
const fileMode: Form = value => {
  const type = nameIn(FILE_TYPES, Number(value) & 0o170000)
  return type === undefined ? octal(value, []) : `${type}|${octal(Number(value) & 0o7777, [])}`
}

/** A signal by its name, real-time ones by their distance from the kernel's SIGRTMIN (32): `SIGTERM`, `SIGRTMIN+2`. */
export function signalName(signal: number): string {
  const name = SIGNALS[signal - 1]
  if (name !== undefined) return `SIG${name}`
  if (signal === SIGRTMIN) return 'SIGRTMIN'
  return signal > SIGRTMIN && signal <= SIGRTMAX ? `SIGRTMIN+${signal - SIGRTMIN}` : String(signal)
}

/** CLONE_… flags by name; '' for none. */
export const cloneFlagNames = (flags: number): string => bitNames(flags, CLONE, undefined, '')

const signal: Form = value => signalName(Number(value))
const capability: Form = value => {
  const name = CAPABILITIES[Number(value)]
  return name === undefined ? String(value) : `CAP_${name}`
}

const statusFlags = bits(OPEN_BITS)

const fcntlArgument: Form = (value, args) => {
  switch (args[1]) {
    case FCNTL['F_SETFD']:
      return value === 1 ? 'FD_CLOEXEC' : plain(value, args)
    case FCNTL['F_SETFL']:
      return statusFlags(value, args)
    case FCNTL['F_SETSIG']:
      return signal(value, args)
    case FCNTL['F_ADD_SEALS']:
      return bitNames(value, SEALS, undefined, '0')
    default:
      return plain(value, args)
  }
}

const PRCTL_SECOND: Readonly<Record<string, Form>> = {
  PR_SET_PDEATHSIG: value => (value === 0 ? '0' : signal(value, [])),
  PR_SET_SECCOMP: one(SECCOMP_MODE),
  PR_CAPBSET_READ: capability,
  PR_CAPBSET_DROP: capability,
  PR_SET_MM: one(PR_SET_MM),
  PR_CAP_AMBIENT: one(AMBIENT),
  PR_SET_VMA: one({ PR_SET_VMA_ANON_NAME: 0 }),
  PR_SET_SECUREBITS: hex,
}

const prctlSecond: Form = (value, args) => (PRCTL_SECOND[nameIn(PRCTL, Number(args[0])) ?? ''] ?? plain)(value, args)
const prctlThird: Form = (value, args) =>
  args[0] === PRCTL['PR_CAP_AMBIENT'] && args[1] !== AMBIENT['PR_CAP_AMBIENT_CLEAR_ALL']
    ? capability(value, args)
    : plain(value, args)

/** What each argument of a call is; those not told are plain. */
const FORMS: { readonly [name in CallName]?: readonly Form[] } = {
  mmap: [hex, hex, bits(PROT, 'PROT_NONE'), typed(MAP_TYPES, 15, MAP), dec, hex],
  munmap: [hex, hex],
  mremap: [hex, hex, hex, bits(MREMAP), hex],
  mprotect: [hex, hex, bits(PROT, 'PROT_NONE')],
  pkey_mprotect: [hex, hex, bits(PROT, 'PROT_NONE'), dec],
  madvise: [hex, hex, one(MADV)],
  mlock: [hex, hex],
  munlock: [hex, hex],
  mlock2: [hex, hex, bits(MLOCK)],
  mseal: [hex, hex],
  brk: [hex],
  shmat: [dec, hex, bits(SHM)],
  shmdt: [hex],
  open: [plain, open, octal],
  openat: [directory, plain, open, octal],
  openat2: [directory, plain, plain, dec],
  mkdirat: [directory, plain, octal],
  mknodat: [directory, plain, fileMode, hex],
  linkat: [directory, plain, directory, plain, bits(AT)],
  symlinkat: [plain, directory],
  unlinkat: [directory, plain, bits(AT)],
  renameat: [directory, plain, directory],
  renameat2: [directory, plain, directory],
  utimensat: [directory, plain, plain, bits(AT)],
  fchownat: [directory, plain, dec, dec, bits(AT)],
  fchmodat: [directory, plain, octal],
  fchmodat2: [directory, plain, octal, bits(AT)],
  newfstatat: [directory, plain, plain, bits(AT)],
  statx: [directory, plain, bits(AT), hex],
  readlinkat: [directory],
  faccessat: [directory],
  fchmod: [dec, octal],
  fchown: [dec, dec, dec],
  umask: [octal],
  ftruncate: [dec, dec],
  fallocate: [dec, bits(FALLOC), dec, dec],
  lseek: [dec, dec, one(SEEK)],
  pread64: [dec, plain, dec, dec],
  pwrite64: [dec, plain, dec, dec],
  read: [dec, plain, dec],
  write: [dec, plain, dec],
  sendfile: [dec, dec, plain, dec],
  splice: [dec, plain, dec, plain, dec, bits(SPLICE)],
  pipe2: [plain, statusFlags],
  dup3: [dec, dec, statusFlags],
  memfd_create: [plain, bits(MFD)],
  eventfd2: [dec, bits(EFD)],
  epoll_create1: [statusFlags],
  epoll_ctl: [dec, one(EPOLL_OPS)],
  inotify_init1: [statusFlags],
  signalfd4: [dec, plain, dec, statusFlags],
  timerfd_create: [one(CLOCKS), statusFlags],
  timerfd_settime: [dec, bits(TFD_TIMER)],
  socket: [one(AF), typed(SOCK_TYPES, 15, SOCK), dec],
  socketpair: [one(AF), typed(SOCK_TYPES, 15, SOCK), dec],
  accept4: [dec, plain, plain, bits(SOCK)],
  close_range: [dec, dec, bits(CLOSE_RANGE)],
  ioctl: [dec, one(IOCTLS, hex)],
  fcntl: [dec, one(FCNTL), fcntlArgument],
  prctl: [one(PRCTL), prctlSecond, prctlThird],
  arch_prctl: [one(ARCH, hex), hex],
  personality: [hex],
  rt_sigaction: [signal],
  rt_sigprocmask: [one(SIG_HOW)],
  kill: [dec, signal],
  tkill: [dec, signal],
  tgkill: [dec, dec, signal],
  rt_sigqueueinfo: [dec, signal],
  rt_tgsigqueueinfo: [dec, dec, signal],
  setitimer: [one(ITIMERS)],
  getitimer: [one(ITIMERS)],
  timer_create: [one(CLOCKS)],
  timer_settime: [dec, bits(TIMER)],
  prlimit64: [dec, one(LIMITS)],
  setrlimit: [one(LIMITS)],
  setpriority: [one(PRIO), dec, dec],
  sched_setscheduler: [dec, one(SCHED)],
  seccomp: [one(SECCOMP), bits(SECCOMP_FLAGS)],
  set_tid_address: [hex],
  set_robust_list: [hex, dec],
  rseq: [hex, dec, dec, hex],
  membarrier: [hex],
  unshare: [bits(CLONE)],
  setns: [dec, bits(CLONE)],
  setresuid: [dec, dec, dec],
  setresgid: [dec, dec, dec],
  setfsuid: [dec],
  setfsgid: [dec],
  setpgid: [dec, dec],
}

/** A number as argument `index` of a call, in the kernel's names where it has any. `args` are all arguments. */
export function argumentText(call: CallName, index: number, value: Value, args: readonly unknown[]): string {
  return (FORMS[call]?.[index] ?? plain)(value, args)
}
