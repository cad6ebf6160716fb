// What the plan needs to know of the machine that it restores on, read once.
import { textOf } from '../base/bytes.ts'
import { now_ms } from '../base/run.ts'
import type { creds_entry } from '../image/messages/creds.ts'
import { AT_FDCWD, EBADF, ENOENT, ESRCH, F_GETFD, PR_GET_SECUREBITS, RLIMIT_NOFILE } from '../linux/constants.ts'
import { syscall } from '../linux/ffi.ts'
import { NR } from '../linux/nr.ts'
import { nap } from '../linux/poll.ts'
import type { Limit } from '../linux/proc/limits.ts'
import { parseStat } from '../linux/proc/stat.ts'
import { parseStatus } from '../linux/proc/status.ts'
import { must, readFile, scratch } from '../linux/sys.ts'
import { credentialsOf } from '../kinds/task/credentials.ts'
import { readAffinity } from '../kinds/task/scheduling.ts'

const CAP_SYS_RESOURCE = 24n

export type Host = {
  pidTaken(pid: number): boolean
  nameOf(pid: number): string
  /**
   * Those of these pids that stay in use. Who has ended keeps its pid until its parent has heard of that: a restore right
   * behind the dump of hundreds comes before it has heard of all. It waits as long as they become fewer.
   */
  stillTaken(pids: Iterable<number>): number[]
  readonly limits: readonly Limit[]
  /** Whether hard limits may be raised (CAP_SYS_RESOURCE). */
  readonly maySetLimits: boolean
  readonly permitted: bigint
  readonly bounding: bigint
  readonly affinity: Uint8Array
  readonly nice: number
  readonly personality: number
  /** What every new task has from us. */
  readonly credentials: creds_entry
  readonly inheritedLimits: readonly Limit[]
  readonly oom_score_adj: number
  /** Whether we have nothing open there. */
  isFreeDescriptor(fd: number): boolean
  /** One past the highest descriptor that we and the tasks may have meanwhile. */
  readonly descriptorsMax: number
  /** prctl PR_TIMER_CREATE_RESTORE_IDS, Linux 6.15. */
  readonly restoresTimerIds: boolean
}

const text = (path: string): string => textOf(readFile(AT_FDCWD, path) ?? new Uint8Array())

/** What getpriority(2) of the kernel adds, so that no answer is negative. */
const NICE_BASE = 20
const PRIO_PROCESS = 0
/** RLIM_NLIMITS (asm-generic/resource.h). */
const LIMITS = 16

/** Reads the host; raises our own soft limit of descriptors to the hard one, which every restored task begins with. */
export function readHost(): Host {
  const status = parseStatus(readFile(AT_FDCWD, '/proc/self/status')!)
  const limits = readLimits()
  const descriptorsMax = raiseDescriptors(limits[RLIMIT_NOFILE]!)
  let oom_score_adj: number | undefined
  let restoresTimerIds: boolean | undefined
  return {
    pidTaken,
    stillTaken,
    nameOf: pid => textOf(readFile(AT_FDCWD, `/proc/${pid}/comm`, [ENOENT, ESRCH]) ?? new Uint8Array()).trim(),
    limits,
    maySetLimits: ((status.capEff >> CAP_SYS_RESOURCE) & 1n) === 1n,
    permitted: status.capPrm,
    bounding: status.capBnd,
    affinity: readAffinity(0),
    nice: NICE_BASE - must('getpriority', PRIO_PROCESS, 0),
    personality: syscall(NR.personality, 0xffffffff),
    credentials: credentialsOf(status, syscall(NR.prctl, PR_GET_SECUREBITS)),
    inheritedLimits: limits.map((limit, resource) =>
      resource === RLIMIT_NOFILE ? { ...limit, cur: BigInt(descriptorsMax) } : limit,
    ),
    get oom_score_adj() {
      return (oom_score_adj ??= Number(text('/proc/self/oom_score_adj')))
    },
    isFreeDescriptor: fd => syscall(NR.fcntl, fd, F_GETFD) === -EBADF,
    descriptorsMax,
    get restoresTimerIds() {
      return (restoresTimerIds ??= kernelIsAtLeast(6, 15))
    },
  }
}

/** Our own limits, by resource. */
function readLimits(): Limit[] {
  const mark = scratch.mark()
  const at = scratch.take(16)
  const limits = Array.from({ length: LIMITS }, (_, resource) => {
    must('prlimit64', 0, resource, 0, at)
    const offset = at - scratch.address
    return { cur: scratch.view.getBigUint64(offset, true), max: scratch.view.getBigUint64(offset + 8, true) }
  })
  scratch.release(mark)
  return limits
}

/** Of processes and of threads; no path is walked for it. */
const pidTaken = (pid: number): boolean => syscall(NR.getpgid, pid) !== -ESRCH

const REAPING_PATIENCE_MS = 1000
const LOOK_NS = 5_000_000

function stillTaken(pids: Iterable<number>): number[] {
  let left = [...pids]
  for (let change = now_ms(); now_ms() < change + REAPING_PATIENCE_MS;) {
    const now = left.filter(pidTaken)
    if (now.length < left.length) change = now_ms()
    left = now
    // Who lives does not go by itself.
    if (!left.some(hasEnded)) break
    nap(LOOK_NS)
  }
  return left
}

function hasEnded(pid: number): boolean {
  const stat = readFile(AT_FDCWD, `/proc/${pid}/stat`, [ENOENT, ESRCH])
  return stat === undefined || ['Z', 'X'].includes(parseStat(stat).state)
}

function raiseDescriptors(limit: Limit): number {
  const mark = scratch.mark()
  const at = scratch.put(new Uint8Array(BigUint64Array.of(limit.max, limit.max).buffer))
  const result = syscall(NR.prlimit64, 0, RLIMIT_NOFILE, at, 0)
  scratch.release(mark)
  return Number(result < 0 ? limit.cur : limit.max)
}

function kernelIsAtLeast(major: number, minor: number): boolean {
  const [a = 0, b = 0] = text('/proc/sys/kernel/osrelease')
    .split('.')
    .map(part => parseInt(part, 10))
  return a > major || (a === major && b >= minor)
}
