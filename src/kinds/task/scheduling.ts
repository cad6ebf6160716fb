// How a thread is scheduled: nice value, policy and real-time priority (sched(7)), and the CPUs it may run on.
import { syscall } from '../../linux/ffi.ts'
import { NR } from '../../linux/nr.ts'
import { refusal, scratch } from '../../linux/sys.ts'
import type { TaskBuild } from '../kind.ts'

export type Scheduling = {
  readonly sched_policy: number
  readonly sched_nice: number
  readonly sched_prio?: number
  readonly cpus_allowed: Uint8Array
}

const SCHED_FIFO = 1
const SCHED_RR = 2
const SCHED_DEADLINE = 6
const PRIO_PROCESS = 0
const MASK_BYTES = 1024
/** SCHED_RESET_ON_FORK comes with the policy. */
const RESET_ON_FORK = 0x40000000

export const isRealTime = (policy: number): boolean => {
  const bare = policy & ~RESET_ON_FORK
  return bare === SCHED_FIFO || bare === SCHED_RR
}

export const isDeadline = (policy: number): boolean => (policy & ~RESET_ON_FORK) === SCHED_DEADLINE

/** The CPUs that `tid` (0: ourselves) may run on, as the kernel's mask without its last zero bytes. */
export function readAffinity(tid: number): Uint8Array {
  const mark = scratch.mark()
  const at = scratch.take(MASK_BYTES)
  const n = syscall(NR.sched_getaffinity, tid, MASK_BYTES, at)
  if (n < 0) throw refusal('sched_getaffinity', n, tid)
  let length = n
  const bytes = scratch.at(at, n)
  while (length > 1 && bytes[length - 1] === 0) length--
  const mask = bytes.slice(0, length)
  scratch.release(mark)
  return mask
}

/** `nice` is from /proc/PID/task/TID/stat, which has it without a call. */
export function readScheduling(tid: number, stat: { nice: number; policy: number; rt_priority: number }): Scheduling {
  return {
    sched_policy: stat.policy,
    sched_nice: stat.nice,
    ...(isRealTime(stat.policy) ? { sched_prio: stat.rt_priority } : {}),
    cpus_allowed: readAffinity(tid),
  }
}

/** `ownMask`: the CPUs of the restorer before it pinned itself, for images that have none. */
export function restoreScheduling(
  state: { sched_policy?: number | undefined; sched_nice?: number | undefined; sched_prio?: number | undefined
    cpus_allowed?: Uint8Array | undefined },
  ownMask: Uint8Array, at: TaskBuild,
): void {
  const policy = state.sched_policy ?? 0
  if (policy !== 0 || state.sched_prio !== undefined) {
    const param = new Uint8Array(4)
    new DataView(param.buffer).setInt32(0, state.sched_prio ?? 0, true)
    at.call('sched_setscheduler', 0, policy, at.memory(param))
  }
  at.call('setpriority', PRIO_PROCESS, 0, state.sched_nice ?? 0)
  const wanted = new Uint8Array(128)
  wanted.set((state.cpus_allowed ?? ownMask).subarray(0, 128))
  const own = new Uint8Array(128)
  own.set(ownMask.subarray(0, 128))
  // On another machine none of the old CPUs may be there: then the thread has all that the restorer has.
  const fits = wanted.some((byte, index) => (byte & own[index]!) !== 0)
  at.call('sched_setaffinity', 0, 128, at.memory(fits ? wanted : own))
}
