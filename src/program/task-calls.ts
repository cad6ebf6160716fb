// The calls that a task may make in a program. A closed set: what ends, replaces or blocks a task, or reaches into
// others, would take it from the runner, who must find it stopped where he left it. A kind that needs one more adds it.
import type { CallName } from '../linux/nr.ts'
import type { Argument } from './program.ts'

const ALLOWED: ReadonlySet<CallName> = new Set<CallName>([
  // Its memory.
  'mmap',
  'munmap',
  'mremap',
  'mprotect',
  'pkey_mprotect',
  'pkey_alloc',
  'pkey_free',
  'madvise',
  'mlock',
  'mlock2',
  'munlock',
  'mlockall',
  'mseal',
  'brk',
  'mbind',
  'set_mempolicy',
  'shmat',
  'shmdt',
  'map_shadow_stack',
  'io_setup',
  'userfaultfd',
  // Its descriptors, and files at hand.
  'open',
  'openat',
  'openat2',
  'close',
  'close_range',
  'dup',
  'dup2',
  'dup3',
  'fcntl',
  'ioctl',
  'lseek',
  'flock',
  'ftruncate',
  'pipe2',
  'memfd_create',
  'eventfd2',
  'epoll_create1',
  'epoll_ctl',
  'timerfd_create',
  'timerfd_settime',
  'signalfd4',
  'inotify_init1',
  'inotify_add_watch',
  'inotify_rm_watch',
  'socket',
  'socketpair',
  'setsockopt',
  'bind',
  'fstat',
  'newfstatat',
  // Its places and namespaces.
  'chdir',
  'fchdir',
  'chroot',
  'umask',
  'unshare',
  'setns',
  // What it is.
  'setsid',
  'setpgid',
  'prctl',
  'arch_prctl',
  'personality',
  'modify_ldt',
  'set_thread_area',
  'set_tid_address',
  'set_robust_list',
  'rseq',
  'membarrier',
  'keyctl',
  'prlimit64',
  'setrlimit',
  'ioprio_set',
  'setpriority',
  'sched_setscheduler',
  'sched_setparam',
  'sched_setattr',
  'sched_setaffinity',
  'setresuid',
  'setresgid',
  'setuid',
  'setgid',
  'setreuid',
  'setregid',
  'setfsuid',
  'setfsgid',
  'setgroups',
  'capset',
  'seccomp',
  // Signals and timers.
  'rt_sigaction',
  'rt_sigprocmask',
  'sigaltstack',
  'kill',
  'tkill',
  'tgkill',
  'rt_sigqueueinfo',
  'rt_tgsigqueueinfo',
  'setitimer',
  'timer_create',
  'timer_settime',
  'timer_delete',
  // Questions.
  'getpid',
  'getppid',
  'gettid',
  'getpgid',
  'getsid',
  'getuid',
  'geteuid',
  'getgid',
  'getegid',
  'getresuid',
  'getresgid',
  'getgroups',
  'capget',
  'getrlimit',
  'getpriority',
  'sched_getscheduler',
  'sched_getaffinity',
  'getitimer',
  'timer_gettime',
  'timer_getoverrun',
  'clock_gettime',
  'get_robust_list',
  'mincore',
])

/** Which arguments say whom a call is for. */
type Target = { readonly at: number; readonly is: 'process' | 'thread'; /** 0 is the caller. */ readonly zero: boolean }

const ofProcess = (at: number, zero = false): Target => ({ at, is: 'process', zero })
const ofThread = (at: number, zero = false): Target => ({ at, is: 'thread', zero })

const TARGETS: { readonly [name in CallName]?: readonly Target[] } = {
  kill: [ofProcess(0)],
  tkill: [ofThread(0)],
  tgkill: [ofProcess(0), ofThread(1)],
  rt_sigqueueinfo: [ofProcess(0)],
  rt_tgsigqueueinfo: [ofProcess(0), ofThread(1)],
  prlimit64: [ofProcess(0, true)],
  setpgid: [ofProcess(0, true)],
  sched_setscheduler: [ofThread(0, true)],
  sched_setparam: [ofThread(0, true)],
  sched_setattr: [ofThread(0, true)],
  sched_setaffinity: [ofThread(0, true)],
}

/** Of these the first argument says what the second is: a process (PRIO_PROCESS, IOPRIO_WHO_PROCESS), group or user. */
const KIND_OF_TARGET: { readonly [name in CallName]?: number } = { setpriority: 0, ioprio_set: 1 }

/**
 * Why a task may not make this call; undefined if it may. `process` is its process's id, `isMine` tells whether a
 * thread is of that process. Ids are those of the image.
 */
export function objectionTo(
  name: CallName,
  args: readonly Argument[],
  process: number,
  isMine: (tid: number) => boolean,
): string | undefined {
  if (!ALLOWED.has(name)) return 'it is not among the calls that are known to be safe in a task'
  const kind = KIND_OF_TARGET[name]
  if (kind !== undefined && (args[0] !== kind || args[1] !== 0)) return 'it is for others than the task itself'
  for (const { at, is, zero } of TARGETS[name] ?? []) {
    const id = args[at]
    if (id === 0 && zero) continue
    if (typeof id !== 'number') return 'whom it is for is not told as a number'
    if (is === 'process' ? id !== process : !isMine(id)) return 'it is for others than the task itself'
  }
  return undefined
}
