// Interval timers and POSIX timers of a task.
import { i32, inner, message, optional, repeated, u32, u64, type State } from '../words.ts'

/** struct itimerval: i… is the interval, v… what is left, in seconds and microseconds. */
export const itimer_entry = message('itimer_entry', () => ({
  isec: u64(1),
  iusec: u64(2),
  vsec: u64(3),
  vusec: u64(4),
}))
export type itimer_entry = State<typeof itimer_entry>

/** A timer of timer_create. Times are seconds and nanoseconds; a v… time is what is left. */
export const posix_timer_entry = message('posix_timer_entry', () => ({
  it_id: u32(1), // The id that timer_create gave.
  clock_id: u32(2),
  si_signo: u32(3),
  it_sigev_notify: u32(4),
  sival_ptr: u64(5),
  overrun: u32(6),
  isec: u64(7),
  insec: u64(8),
  vsec: u64(9),
  vnsec: u64(10),
  notify_thread_id: optional(i32(11)), // For SIGEV_THREAD_ID.
}))
export type posix_timer_entry = State<typeof posix_timer_entry>

export const task_timers_entry = message('task_timers_entry', () => ({
  real: inner(1, itimer_entry),
  virt: inner(2, itimer_entry),
  prof: inner(3, itimer_entry),
  posix: repeated(inner(4, posix_timer_entry)),
}))
export type task_timers_entry = State<typeof task_timers_entry>
