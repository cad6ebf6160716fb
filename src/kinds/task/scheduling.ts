// How a thread is scheduled: nice value, policy and real-time priority (sched(7)), and the CPUs it may run on.
import { EPERM } from '../../linux/constants.ts'
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

/** struct sched_attr (sched_setattr(2)): size, policy, flags, nice, priority; the first version has 48 bytes. */
const ATTR_SIZE = 48
const SCHED_FLAG_RESET_ON_FORK = 1

export function readScheduling(tid: number): Scheduling {
  const mark = scratch.mark()
  const at = scratch.take(ATTR_SIZE)
  const result = syscall(NR.sched_getattr, tid, at, ATTR_SIZE, 0)
  if (result < 0) throw refusal('sched_getattr', result, tid)
  const word = (offset: number): number => scratch.view.getUint32(at - scratch.address + offset, true)
  const resets = (word(8) & SCHED_FLAG_RESET_ON_FORK) !== 0
  const policy = word(4) | (resets ? RESET_ON_FORK : 0)
  const found = {
    sched_policy: policy,
    sched_nice: word(16) | 0,
    ...(isRealTime(policy) ? { sched_prio: word(20) } : {}),
  }
  scratch.release(mark)
  return { ...found, cpus_allowed: readAffinity(tid) }
}

/** `own`: the restorer's CPUs, and its nice value, which the task has so far. */
export function restoreScheduling(
  state: {
    sched_policy?: number | undefined
    sched_nice?: number | undefined
    sched_prio?: number | undefined
    cpus_allowed?: Uint8Array | undefined
  },
  own: { readonly affinity: Uint8Array; readonly nice: number },
  at: TaskBuild,
): void {
  const policy = state.sched_policy ?? 0
  if (policy !== 0 || state.sched_prio !== undefined) {
    const param = new Uint8Array(4)
    new DataView(param.buffer).setInt32(0, state.sched_prio ?? 0, true)
    at.call('sched_setscheduler', 0, policy, at.memory(param))
  }
  if ((state.sched_nice ?? 0) !== own.nice) at.call('setpriority', PRIO_PROCESS, 0, state.sched_nice ?? 0)
  // Always said: the restorer is on one CPU meanwhile, and so is what is born of it.
  const wanted = state.cpus_allowed ?? own.affinity
  // On another machine none of the old CPUs may be there: then the thread has all that the restorer has.
  const fits = wanted.some((byte, index) => (byte & (own.affinity[index] ?? 0)) !== 0)
  const mask = fits ? wanted : own.affinity
  // The kernel takes words (sched_setaffinity(2)), and the CPUs behind them for none.
  const words = new Uint8Array(Math.ceil(mask.length / 8) * 8)
  words.set(mask)
  // Where a filter that we are under forbids the call, we are on no one CPU either: then all of ours are had by birth.
  const accept = Buffer.compare(mask, own.affinity) === 0 ? [EPERM] : []
  at.attempt(accept, 'sched_setaffinity', 0, words.length, at.memory(words))
}
