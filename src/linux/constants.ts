// Constants of the kernel's interface, in the kernel's names. x86-64's values where they depend on the machine.

// errno (asm-generic/errno-base.h, errno.h)
export const EPERM = 1
export const ENOENT = 2
export const ESRCH = 3
export const EINTR = 4
export const EIO = 5
export const ENXIO = 6
export const EBADF = 9
export const ECHILD = 10
export const EAGAIN = 11
export const EACCES = 13
export const EFAULT = 14
export const EEXIST = 17
export const ENODEV = 19
export const ENOTDIR = 20
export const EINVAL = 22
export const ENOTTY = 25
export const ENOSPC = 28
export const ENOSYS = 38
export const ELOOP = 40
export const ENODATA = 61
export const EOPNOTSUPP = 95
export const ETIMEDOUT = 110

// What a call that a signal cut short answers inside the kernel (include/linux/errno.h); seen under ptrace only.
export const ERESTARTSYS = 512
export const ERESTARTNOINTR = 513
export const ERESTARTNOHAND = 514
export const ERESTART_RESTARTBLOCK = 516

// open (asm-generic/fcntl.h)
export const O_RDONLY = 0
export const O_WRONLY = 1
export const O_RDWR = 2
export const O_ACCMODE = 3
export const O_CREAT = 0o100
export const O_EXCL = 0o200
export const O_NOCTTY = 0o400
export const O_TRUNC = 0o1000
export const O_APPEND = 0o2000
export const O_NONBLOCK = 0o4000
export const O_DSYNC = 0o10000
export const O_ASYNC = 0o20000
export const O_DIRECT = 0o40000
export const O_LARGEFILE = 0o100000
export const O_DIRECTORY = 0o200000
export const O_NOFOLLOW = 0o400000
export const O_NOATIME = 0o1000000
export const O_CLOEXEC = 0o2000000
export const O_SYNC = 0o4010000
export const O_PATH = 0o10000000
export const O_TMPFILE = 0o20200000
export const AT_FDCWD = -100
export const AT_SYMLINK_NOFOLLOW = 0x100
export const AT_EMPTY_PATH = 0x1000
export const AT_REMOVEDIR = 0x200
export const AT_SYMLINK_FOLLOW = 0x400
export const RESOLVE_IN_ROOT = 0x10

export const F_DUPFD = 0
export const F_GETFD = 1
export const F_SETFD = 2
export const F_GETFL = 3
export const F_SETFL = 4
export const F_SETOWN = 8
export const F_GETOWN = 9
export const F_SETSIG = 10
export const F_GETSIG = 11
export const F_SETOWN_EX = 15
export const F_GETOWN_EX = 16
export const F_GETOWNER_UIDS = 17
export const F_DUPFD_CLOEXEC = 1030
export const F_SETPIPE_SZ = 1031
export const F_GETPIPE_SZ = 1032
export const FD_CLOEXEC = 1
export const F_OWNER_TID = 0
export const F_OWNER_PID = 1
export const F_OWNER_PGRP = 2

// stat
export const S_IFMT = 0o170000
export const S_IFSOCK = 0o140000
export const S_IFLNK = 0o120000
export const S_IFREG = 0o100000
export const S_IFBLK = 0o060000
export const S_IFDIR = 0o040000
export const S_IFCHR = 0o020000
export const S_IFIFO = 0o010000

export const SEEK_SET = 0
export const SEEK_CUR = 1
export const SEEK_DATA = 3
export const SEEK_HOLE = 4

export const SPLICE_F_NONBLOCK = 2

// statfs (linux/magic.h)
export const PROC_SUPER_MAGIC = 0x9fa0

// mmap (asm-generic/mman-common.h)
export const PROT_NONE = 0
export const PROT_READ = 1
export const PROT_WRITE = 2
export const PROT_EXEC = 4
export const MAP_SHARED = 1
export const MAP_PRIVATE = 2
export const MAP_FIXED = 0x10
export const MAP_ANONYMOUS = 0x20
export const MAP_GROWSDOWN = 0x100
export const MAP_LOCKED = 0x2000
export const MAP_NORESERVE = 0x4000
export const MAP_STACK = 0x20000
export const MAP_HUGETLB = 0x40000
export const MAP_FIXED_NOREPLACE = 0x100000
export const MREMAP_MAYMOVE = 1
export const MREMAP_FIXED = 2
export const PAGE_SIZE = 4096

// madvise
export const MADV_DONTNEED = 4
export const MADV_DONTFORK = 10
export const MADV_MERGEABLE = 12
export const MADV_HUGEPAGE = 14
export const MADV_NOHUGEPAGE = 15
export const MADV_DONTDUMP = 16
export const MADV_WIPEONFORK = 18

// clone (linux/sched.h)
export const CLONE_VM = 0x100
export const CLONE_FS = 0x200
export const CLONE_FILES = 0x400
export const CLONE_SIGHAND = 0x800
export const CLONE_PIDFD = 0x1000
export const CLONE_VFORK = 0x4000
export const CLONE_PARENT = 0x8000
export const CLONE_THREAD = 0x10000
export const CLONE_SYSVSEM = 0x40000
export const CLONE_UNTRACED = 0x800000
export const CLONE_CLEAR_SIGHAND = 0x100000000

// prctl (linux/prctl.h)
export const PR_SET_PDEATHSIG = 1
export const PR_GET_PDEATHSIG = 2
export const PR_GET_DUMPABLE = 3
export const PR_SET_DUMPABLE = 4
export const PR_GET_KEEPCAPS = 7
export const PR_SET_KEEPCAPS = 8
export const PR_SET_NAME = 15
export const PR_GET_SECCOMP = 21
export const PR_SET_SECCOMP = 22
export const PR_CAPBSET_DROP = 24
export const PR_GET_SECUREBITS = 27
export const PR_SET_SECUREBITS = 28
export const PR_SET_MM = 35
export const PR_SET_CHILD_SUBREAPER = 36
export const PR_GET_CHILD_SUBREAPER = 37
export const PR_SET_NO_NEW_PRIVS = 38
export const PR_GET_TID_ADDRESS = 40
export const PR_SET_THP_DISABLE = 41
export const PR_GET_THP_DISABLE = 42
export const PR_SET_MM_MAP = 14
export const PR_CAP_AMBIENT = 47
export const PR_CAP_AMBIENT_RAISE = 2
export const PR_CAP_AMBIENT_CLEAR_ALL = 4
export const PR_SET_VMA = 0x53564d41
export const PR_SET_VMA_ANON_NAME = 0

// signals
export const SIGHUP = 1
export const SIGINT = 2
export const SIGQUIT = 3
export const SIGTRAP = 5
export const SIGKILL = 9
export const SIGSEGV = 11
export const SIGPIPE = 13
export const SIGTERM = 15
export const SIGCHLD = 17
export const SIGCONT = 18
export const SIGSTOP = 19
export const SIGTSTP = 20
export const SIGTTIN = 21
export const SIGTTOU = 22
export const SIGURG = 23
export const SIGXFSZ = 25
export const SIGWINCH = 28
export const SIG_BLOCK = 0
export const SIG_SETMASK = 2

// wait
export const WNOHANG = 1
export const WUNTRACED = 2
export const WEXITED = 4
export const WNOWAIT = 0x1000000
export const WALL = 0x40000000
export const P_PID = 1

// ptrace (linux/ptrace.h)
export const PTRACE_CONT = 7
export const PTRACE_SINGLESTEP = 9
export const PTRACE_DETACH = 17
export const PTRACE_SYSCALL = 24
export const PTRACE_GET_THREAD_AREA = 25
export const PTRACE_SET_THREAD_AREA = 26
export const PTRACE_SETOPTIONS = 0x4200
export const PTRACE_GETEVENTMSG = 0x4201
export const PTRACE_GETSIGINFO = 0x4202
export const PTRACE_GETREGSET = 0x4204
export const PTRACE_SETREGSET = 0x4205
export const PTRACE_SEIZE = 0x4206
export const PTRACE_INTERRUPT = 0x4207
export const PTRACE_LISTEN = 0x4208
export const PTRACE_PEEKSIGINFO = 0x4209
export const PTRACE_GETSIGMASK = 0x420a
export const PTRACE_SETSIGMASK = 0x420b
export const PTRACE_SECCOMP_GET_FILTER = 0x420c
export const PTRACE_SECCOMP_GET_METADATA = 0x420d
export const PTRACE_GET_RSEQ_CONFIGURATION = 0x420f
export const PTRACE_O_TRACESYSGOOD = 1
export const PTRACE_O_TRACEFORK = 2
export const PTRACE_O_TRACEVFORK = 4
export const PTRACE_O_TRACECLONE = 8
export const PTRACE_O_TRACEEXIT = 0x40
export const PTRACE_O_SUSPEND_SECCOMP = 1 << 21
export const PTRACE_EVENT_FORK = 1
export const PTRACE_EVENT_VFORK = 2
export const PTRACE_EVENT_CLONE = 3
export const PTRACE_EVENT_EXIT = 6
export const PTRACE_EVENT_STOP = 128
export const NT_PRSTATUS = 1
export const NT_X86_XSTATE = 0x202

// kcmp
export const KCMP_FILE = 0
export const KCMP_VM = 1
export const KCMP_FILES = 2
export const KCMP_FS = 3
export const KCMP_SIGHAND = 4

// ioctl
export const FIONREAD = 0x541b

// terminals (asm-generic/ioctls.h)
export const TCXONC = 0x540a
export const TCFLSH = 0x540b
export const TIOCEXCL = 0x540c
export const TIOCSCTTY = 0x540e
export const TIOCGPGRP = 0x540f
export const TIOCSPGRP = 0x5410
export const TIOCGWINSZ = 0x5413
export const TIOCSWINSZ = 0x5414
export const TIOCPKT = 0x5420
export const TIOCGETD = 0x5424
export const TIOCGSID = 0x5429
export const TCGETS2 = 0x802c542a
export const TCSETS2 = 0x402c542b
export const TCSETS = 0x5402
export const TIOCGPTN = 0x80045430
export const TIOCSPTLCK = 0x40045431
export const TIOCGDEV = 0x80045432
export const TIOCGPKT = 0x80045438
export const TIOCGPTLCK = 0x80045439
export const TIOCGEXCL = 0x80045440
export const TIOCGPTPEER = 0x5441
export const TIOCGLCKTRMIOS = 0x5456
export const TIOCSLCKTRMIOS = 0x5457
export const TCOOFF = 0
export const TCOON = 1
export const TCIFLUSH = 0
export const TCOFLUSH = 1
export const TIOCPKT_FLUSHREAD = 1
export const TIOCPKT_FLUSHWRITE = 2
export const TIOCPKT_START = 8
export const TIOCPKT_NOSTOP = 16
export const TIOCPKT_DOSTOP = 32

// poll
export const POLLIN = 1
export const POLLPRI = 2
export const POLLOUT = 4
export const POLLHUP = 16

// sockets
export const AF_UNIX = 1
export const SOCK_STREAM = 1
export const SOCK_DGRAM = 2
export const SOCK_SEQPACKET = 5
export const SOCK_CLOEXEC = 0o2000000
export const SOL_SOCKET = 1
export const SCM_RIGHTS = 1
export const MSG_CMSG_CLOEXEC = 0x40000000

export const RLIMIT_NOFILE = 7
