// Probes about tasks: ptrace, pids, seccomp, timers, signals.
import { EFAULT, EINVAL } from '../constants.ts'
import { OpenFile, must, scratch, sys } from '../sys.ts'
import { AFTER_CALL_AT, Child, DONE_AT, tracedChild } from './child.ts'
import { answered, exists, failsWith, hasLine, succeeds, textFile, withFd, type Missing, type Probe } from './probe.ts'

const PTRACE_PEEKUSER = 3
const PTRACE_POKEUSER = 6
const PTRACE_CONT = 7
const PTRACE_SEIZE = 0x4206
const PTRACE_PEEKSIGINFO = 0x4209
const PTRACE_SECCOMP_GET_FILTER = 0x420c
const PTRACE_GET_RSEQ_CONFIGURATION = 0x420f
const PTRACE_O_SUSPEND_SECCOMP = 1 << 21
const O_WRONLY_CLOEXEC = 0o2000001
const AT_FDCWD = -100

const NO_CHILD = 'a child could not be traced'

/** Asks something of a child that stands under our ptrace. */
function ofTraced(ask: (pid: number, child: Child) => Missing, prepare?: (child: Child) => void): Missing {
  const traced = tracedChild(prepare)
  if (traced === undefined) return NO_CHILD
  using child = traced.child
  return ask(traced.pid, child)
}

/** `ptrace(request, pid, addr, data)` with `size` bytes of scratch for data, or for addr when `swapped`. */
function ptraceInto(request: number, pid: number, address: number, size: number): number {
  const mark = scratch.mark()
  try {
    return sys('ptrace', request, pid, address, scratch.take(size))
  } finally {
    scratch.release(mark)
  }
}

function seizeWith(options: number): Missing {
  using child = new Child()
  child.call('pause')
  const pid = child.start()
  if (pid < 0) return answered('clone', pid)
  const result = sys('ptrace', PTRACE_SEIZE, pid, 0, options)
  return result < 0 ? answered('ptrace', result) : undefined
}

function peekSiginfo(): Missing {
  return ofTraced(pid => {
    const mark = scratch.mark()
    try {
      // struct ptrace_peeksiginfo_args: off, flags, nr.
      const args = scratch.take(16)
      scratch.view.setInt32(args - scratch.address + 12, 1, true)
      const result = sys('ptrace', PTRACE_PEEKSIGINFO, pid, args, scratch.take(128))
      return result < 0 ? answered('ptrace', result) : undefined
    } finally {
      scratch.release(mark)
    }
  })
}

const [PR_SET_NO_NEW_PRIVS, SECCOMP_SET_MODE_FILTER] = [38, 1]
/** One BPF instruction: return SECCOMP_RET_ALLOW (0x7fff0000). */
const ALLOW = Uint8Array.of(0x06, 0, 0, 0, 0, 0, 0xff, 0x7f)

function seccompFilters(): Missing {
  const install = (child: Child): void => {
    const program = new Uint8Array(16)
    const view = new DataView(program.buffer)
    view.setUint16(0, 1, true)
    view.setBigUint64(8, BigInt(child.put(ALLOW)), true)
    child.call('prctl', PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    child.call('seccomp', SECCOMP_SET_MODE_FILTER, 0, child.put(program))
  }
  return ofTraced(pid => {
    const result = ptraceInto(PTRACE_SECCOMP_GET_FILTER, pid, 0, 64)
    return result < 0
      ? answered('ptrace', result)
      : result === 1
        ? undefined
        : 'the filter came back with another length'
  }, install)
}

const rseqConfiguration = (): Missing =>
  ofTraced(pid => {
    const result = ptraceInto(PTRACE_GET_RSEQ_CONFIGURATION, pid, 24, 24)
    return result < 0 ? answered('ptrace', result) : undefined
  })

/** Offsets in struct user (arch/x86/include/asm/user_64.h): rip, and the debug registers. */
const [USER_RIP, USER_DEBUGREG] = [128, 848]
const SIGTRAP_STOP = 0x057f

function breakpoints(): Missing {
  return ofTraced((pid, child) => {
    const mark = scratch.mark()
    try {
      const at = scratch.take(8)
      must('ptrace', PTRACE_PEEKUSER, pid, USER_RIP, at)
      const rip = Number(scratch.view.getBigUint64(at - scratch.address, true))
      // It stands behind a call of the table; the code's end comes next.
      const target = rip - AFTER_CALL_AT + DONE_AT
      const set = sys('ptrace', PTRACE_POKEUSER, pid, USER_DEBUGREG, target)
      if (set < 0) return answered('ptrace', set)
      const on = sys('ptrace', PTRACE_POKEUSER, pid, USER_DEBUGREG + 7 * 8, 1)
      if (on < 0) return answered('ptrace', on)
      must('ptrace', PTRACE_CONT, pid, 0, 0)
      return (child.wait() & 0xffff) === SIGTRAP_STOP ? undefined : 'the child ran through a hardware breakpoint'
    } finally {
      scratch.release(mark)
    }
  })
}

const CLONE_ARGS_SIZE = 88

/** set_tid without a size is EINVAL where the field is known, E2BIG where it is not; no child is made either way. */
function cloneSetTid(): Missing {
  const args = new Uint8Array(CLONE_ARGS_SIZE)
  new DataView(args.buffer).setBigUint64(64, 1n, true)
  return failsWith([EINVAL], 'clone3', args, CLONE_ARGS_SIZE)
}

const pidfdStore = (): Missing =>
  withFd(pidfd => withFd(() => undefined, 'pidfd_getfd', pidfd, pidfd, 0), 'pidfd_open', sys('getpid'), 0)

/** Writes back what is there: the value stays, and the right to write is known. */
function loginuid(): Missing {
  const value = textFile('/proc/self/loginuid')
  if (value === undefined) return 'there is no /proc/PID/loginuid (CONFIG_AUDITSYSCALL)'
  const fd = sys('openat', AT_FDCWD, '/proc/self/loginuid', O_WRONLY_CLOEXEC)
  if (fd < 0) return answered('openat', fd)
  using file = new OpenFile(fd)
  const text = new TextEncoder().encode(value)
  const n = sys('write', file.fd, text, text.length)
  return n < 0 ? answered('write', n) : undefined
}

const PR_GET_TID_ADDRESS = 40
function tidAddress(): Missing {
  const mark = scratch.mark()
  try {
    const result = sys('prctl', PR_GET_TID_ADDRESS, scratch.take(8), 0, 0, 0)
    return result < 0 ? answered('prctl', result) : undefined
  } finally {
    scratch.release(mark)
  }
}

const KCMP_VM = 1
const [PR_TIMER_CREATE_RESTORE_IDS, PR_TIMER_CREATE_RESTORE_IDS_GET] = [77, 2]

export const tasks: readonly Probe[] = [
  {
    name: 'ptrace_seize',
    level: 'required',
    since: '3.4',
    run: () => seizeWith(0),
    tests: 'ptrace(PTRACE_SEIZE) of a child',
    without: 'nothing can be dumped',
  },
  {
    name: 'ptrace_peeksiginfo',
    level: 'required',
    since: '3.10',
    run: peekSiginfo,
    tests: 'ptrace(PTRACE_PEEKSIGINFO)',
    without: 'pending signals cannot be saved',
  },
  {
    name: 'kcmp',
    level: 'required',
    since: '3.5',
    run: () => succeeds('kcmp', sys('getpid'), sys('getpid'), KCMP_VM, 0, 0),
    tests: 'kcmp',
    without: 'it is not known which tasks share what',
  },
  {
    name: 'tid_address',
    level: 'required',
    since: '3.5',
    run: tidAddress,
    tests: 'prctl(PR_GET_TID_ADDRESS)',
    without: 'the ends of threads would not be noticed after a restore',
  },
  {
    name: 'sigqueueinfo',
    level: 'required',
    since: '2.6.31',
    run: () => failsWith([EFAULT], 'rt_tgsigqueueinfo', sys('getpid'), sys('gettid'), 0, 0),
    tests: 'rt_tgsigqueueinfo',
    without: 'pending signals cannot be restored',
  },
  {
    name: 'clone3_set_tid',
    level: 'required',
    since: '5.5',
    run: cloneSetTid,
    tests: 'set_tid of clone3',
    without: 'processes cannot get their pids back',
  },
  {
    name: 'pidfd_store',
    level: 'required',
    since: '5.6',
    run: pidfdStore,
    tests: 'pidfd_open and pidfd_getfd',
    without: 'open files cannot be looked at',
  },
  {
    name: 'ns_pid',
    level: 'extra',
    since: '4.1',
    run: () => hasLine('/proc/self/status', 'NSpid:'),
    tests: 'NSpid of /proc/PID/status',
    without: 'pids inside pid namespaces are not known',
  },
  {
    name: 'seccomp_suspend',
    level: 'extra',
    since: '4.3',
    run: () => seizeWith(PTRACE_O_SUSPEND_SECCOMP),
    tests: 'PTRACE_O_SUSPEND_SECCOMP',
    without: 'tasks under seccomp cannot be dumped',
  },
  {
    name: 'seccomp_filters',
    level: 'extra',
    since: '4.4',
    run: seccompFilters,
    tests: 'ptrace(PTRACE_SECCOMP_GET_FILTER) of a filter that a child installed',
    without: 'seccomp filters cannot be saved',
  },
  {
    name: 'get_rseq_conf',
    level: 'extra',
    since: '5.13',
    run: rseqConfiguration,
    tests: 'ptrace(PTRACE_GET_RSEQ_CONFIGURATION)',
    without: 'tasks that use rseq, which libc does, are not safe to dump',
  },
  {
    name: 'posix_timers',
    level: 'extra',
    since: '3.10',
    run: () => exists('/proc/self/timers'),
    tests: '/proc/PID/timers is there',
    without: 'POSIX timers cannot be saved',
  },
  {
    name: 'timer_cr_ids',
    level: 'extra',
    since: '6.16',
    run: () => succeeds('prctl', PR_TIMER_CREATE_RESTORE_IDS, PR_TIMER_CREATE_RESTORE_IDS_GET, 0, 0, 0),
    tests: 'prctl(PR_TIMER_CREATE_RESTORE_IDS)',
    without: 'restoring a POSIX timer with a high number takes long',
  },
  {
    name: 'loginuid',
    level: 'extra',
    since: '3.13',
    run: loginuid,
    tests: '/proc/PID/loginuid can be written',
    without: 'the login uid cannot be restored',
  },
  {
    name: 'breakpoints',
    level: 'asked',
    since: '2.6.33',
    run: breakpoints,
    tests: 'a hardware breakpoint stops a child',
    without: 'nothing that we do',
  },
  {
    name: 'compat_cr',
    level: 'experimental',
    since: '4.12',
    run: () => 'Bardo does not carry 32-bit tasks yet',
    tests: 'nothing: Bardo answers for itself',
    without: '32-bit tasks cannot be dumped',
  },
]
