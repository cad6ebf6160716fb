// Resource limits of a process. Read from /proc/PID/limits: prlimit(2) on a process of another user needs
// CAP_SYS_RESOURCE, which containers lack.
import { BardoError } from '../../base/errors.ts'
import type { rlimit_entry } from '../../image/messages/core.ts'
import type { Limit } from '../../linux/proc/limits.ts'
import type { TaskBuild } from '../kind.ts'

export const NAMES = [
  'CPU',
  'FSIZE',
  'DATA',
  'STACK',
  'CORE',
  'RSS',
  'NPROC',
  'NOFILE',
  'MEMLOCK',
  'AS',
  'LOCKS',
  'SIGPENDING',
  'MSGQUEUE',
  'NICE',
  'RTPRIO',
  'RTTIME',
] as const

export const limitsToImage = (limits: readonly Limit[]): rlimit_entry[] =>
  limits.map(limit => ({ cur: limit.cur, max: limit.max }))

/** Limits of the image that are above ours, which only CAP_SYS_RESOURCE may set: found before any process is made. */
export function findLimitsTooHigh(
  wanted: readonly rlimit_entry[],
  own: readonly Limit[],
  maySet: boolean,
  where: string,
): BardoError[] {
  if (maySet) return []
  return wanted.flatMap((limit, resource) => {
    const most = own[resource]?.max
    if (most === undefined || limit.max <= most) return []
    return [
      new BardoError('not-permitted', `cannot restore RLIMIT_${NAMES[resource]}: its hard limit is above ours`, {
        where,
        why: `the image has ${limit.max}, we have ${most}, and raising it needs CAP_SYS_RESOURCE`,
        hint: 'raise the hard limit of the shell or the service that runs the restore',
      }),
    ]
  })
}

/** `inherited`: those that a new task has from us. */
export function restoreLimits(limits: readonly rlimit_entry[], inherited: readonly Limit[], at: TaskBuild): void {
  limits.forEach((limit, resource) => {
    if (resource >= NAMES.length) return
    const before = inherited[resource]
    if (before !== undefined && before.cur === limit.cur && before.max === limit.max) return
    const bytes = new Uint8Array(BigUint64Array.of(limit.cur, limit.max).buffer)
    at.call('prlimit64', 0, resource, at.memory(bytes), 0)
  })
}
