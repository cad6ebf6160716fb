// Timers of a process: the three of setitimer(2), and those of timer_create(2).
import { BardoError } from '../../base/errors.ts'
import type { itimer_entry, posix_timer_entry, task_timers_entry } from '../../image/messages/timers.ts'
import type { PosixTimer } from '../../linux/proc/timers.ts'
import type { TaskBuild } from '../kind.ts'
import type { Question } from './question.ts'

const ITIMERS = [0, 1, 2] as const // ITIMER_REAL, ITIMER_VIRTUAL, ITIMER_PROF
/** struct itimerval and struct itimerspec: four words. */
const ITIMER_SIZE = 32
/** prctl, Linux 6.15: timer_create takes the id that the caller writes. */
const PR_TIMER_CREATE_RESTORE_IDS = 77
const RESTORE_IDS_ON = 1
const RESTORE_IDS_OFF = 0
const SIGEV_NONE = 1
const SIGEV_THREAD_ID = 4
/** sigev_notify by the word of /proc/PID/timers. */
const NOTIFY = { signal: 0, none: SIGEV_NONE, thread: 2 } as const
const SIGEVENT_SIZE = 64

export function askTimers(posix: readonly PosixTimer[]): Question<task_timers_entry> {
  return table => {
    const intervals = ITIMERS.map(which => {
      const at = table.take(ITIMER_SIZE)
      table.call('getitimer', [which, at])
      return at
    })
    const places = posix.map(timer => {
      const at = table.take(ITIMER_SIZE)
      table.call('timer_gettime', [timer.id, at])
      return { at, overrun: table.call('timer_getoverrun', [timer.id], { mayFail: true }) }
    })
    const itimer = (at: number): itimer_entry => ({
      isec: table.word64(at),
      iusec: table.word64(at + 8),
      vsec: table.word64(at + 16),
      vusec: table.word64(at + 24),
    })
    return () => ({
      real: itimer(intervals[0]!),
      virt: itimer(intervals[1]!),
      prof: itimer(intervals[2]!),
      posix: posix.map((timer, index) => {
        const { at, overrun } = places[index]!
        return {
          it_id: timer.id,
          clock_id: timer.clockid >>> 0,
          si_signo: timer.signo,
          it_sigev_notify: NOTIFY[timer.notify] | (timer.target === 'tid' ? SIGEV_THREAD_ID : 0),
          sival_ptr: timer.sigval,
          overrun: Math.max(0, table.result(overrun)),
          isec: table.word64(at),
          insec: table.word64(at + 8),
          vsec: table.word64(at + 16),
          vnsec: table.word64(at + 24),
          ...(timer.target === 'tid' ? { notify_thread_id: timer.pid } : {}),
        }
      }),
    })
  }
}

const words = (...values: bigint[]): Uint8Array => new Uint8Array(BigUint64Array.from(values).buffer)

function sigevent(timer: posix_timer_entry): Uint8Array {
  const bytes = new Uint8Array(SIGEVENT_SIZE)
  const view = new DataView(bytes.buffer)
  view.setBigUint64(0, timer.sival_ptr, true)
  view.setInt32(8, timer.si_signo, true)
  view.setInt32(12, timer.it_sigev_notify, true)
  view.setInt32(16, timer.notify_thread_id ?? 0, true)
  return bytes
}

/** Makes and arms the timers: last, since the time of the restore is not the program's. `restoreIds`: Linux 6.15. */
export function restoreTimers(timers: task_timers_entry | undefined, restoreIds: boolean, at: TaskBuild): void {
  if (timers === undefined) return
  const all = [timers.real, timers.virt, timers.prof]
  all.forEach((timer, which) => {
    if (timer.vsec === 0n && timer.vusec === 0n) return
    at.call('setitimer', which, at.memory(words(timer.isec, timer.iusec, timer.vsec, timer.vusec)), 0)
  })
  if (timers.posix.length === 0) return
  const sorted = timers.posix.toSorted((a, b) => a.it_id - b.it_id)
  const id = at.memory(8)
  if (restoreIds) at.call('prctl', PR_TIMER_CREATE_RESTORE_IDS, RESTORE_IDS_ON, 0, 0, 0)
  let next = 0
  for (const timer of sorted) {
    if (!restoreIds) {
      // Ids are given one after another: those between are made and deleted again.
      if (timer.it_id - next > 4096)
        throw new BardoError('unsupported', `timer id ${timer.it_id} cannot be reached`, {
          why: 'the kernel is older than 6.15',
        })
      for (; next < timer.it_id; next++) {
        const none = new Uint8Array(SIGEVENT_SIZE)
        new DataView(none.buffer).setInt32(12, SIGEV_NONE, true)
        at.call('timer_create', timer.clock_id, at.memory(none), id)
        at.call('timer_delete', next)
      }
      next++
    }
    const wanted = new Uint8Array(8)
    new DataView(wanted.buffer).setInt32(0, timer.it_id, true)
    at.call('timer_create', timer.clock_id, at.memory(sigevent(timer)), at.memory(wanted))
  }
  if (restoreIds) at.call('prctl', PR_TIMER_CREATE_RESTORE_IDS, RESTORE_IDS_OFF, 0, 0, 0)
  for (const timer of sorted) {
    if (timer.vsec === 0n && timer.vnsec === 0n) continue
    at.call('timer_settime', timer.it_id, 0, at.memory(words(timer.isec, timer.insec, timer.vsec, timer.vnsec)), 0)
  }
}
