// Descriptors that tell of events: eventfd, epoll, signalfd, timerfd, pidfd.
import { bool, hex, i32, inner, message, optional, repeated, u32, u64, type State } from '../words.ts'
import { fown_entry } from './fown.ts'

/** An eventfd. */
export const eventfd_file_entry = message('eventfd_file_entry', () => ({
  id: u32(1),
  flags: u32(2),
  fown: inner(3, fown_entry),
  counter: u64(4), // Read without being taken.
  semaphore: optional(bool(1000)), // It counts down by one (EFD_SEMAPHORE).
}))
export type eventfd_file_entry = State<typeof eventfd_file_entry>

/** One watched descriptor. */
export const eventpoll_tfd_entry = message('eventpoll_tfd_entry', () => ({
  id: u32(1), // The file id of the epoll.
  tfd: u32(2), // The watched descriptor's number.
  events: u32(3),
  data: u64(4),
  dev: optional(u32(5)), // With inode and pos: finds the file when the number was given to another.
  inode: optional(u64(6)),
  pos: optional(u64(7)),
  file_id: optional(u32(1000)), // Of the watched file, where it is not the one at tfd in the first table with the epoll.
  number: optional(u32(1001)), // By which the epoll knows it, where that is not tfd: that one was closed or reused.
}))
export type eventpoll_tfd_entry = State<typeof eventpoll_tfd_entry>

export const eventpoll_file_entry = message('eventpoll_file_entry', () => ({
  id: u32(1),
  flags: u32(2),
  fown: inner(3, fown_entry),
  tfd: repeated(inner(4, eventpoll_tfd_entry)), // Older images have these in a file of their own.
}))
export type eventpoll_file_entry = State<typeof eventpoll_file_entry>

/** A signalfd. */
export const signalfd_entry = message('signalfd_entry', () => ({
  id: u32(1),
  flags: u32(2, hex),
  fown: inner(3, fown_entry),
  sigmask: u64(4, hex),
}))
export type signalfd_entry = State<typeof signalfd_entry>

/** A timer behind a descriptor: v… is what is left, i… the interval, in seconds and nanoseconds. */
export const timerfd_entry = message('timerfd_entry', () => ({
  id: u32(1),
  flags: u32(2, hex),
  fown: inner(3, fown_entry),
  clockid: u32(4),
  ticks: u64(5), // Expirations that were not read yet.
  settime_flags: u32(6, hex), // TFD_TIMER_…
  vsec: u64(7),
  vnsec: u64(8),
  isec: u64(9),
  insec: u64(10),
  expires_ns: optional(u64(1000)), // Of one that was set to a time of day (TFD_TIMER_ABSTIME): that.
}))
export type timerfd_entry = State<typeof timerfd_entry>

/** A pidfd. */
export const pidfd_entry = message('pidfd_entry', () => ({
  id: u32(1),
  ino: u32(2), // Equal for descriptors of one task.
  flags: u32(3),
  nspid: i32(4), // The pid inside the namespace; -1 for a task that is gone.
  fown: inner(5, fown_entry),
}))
export type pidfd_entry = State<typeof pidfd_entry>
