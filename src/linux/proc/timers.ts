// /proc/PID/timers: the POSIX timers of a process (man 5 proc; show_timer in fs/proc/base.c).
// CONFIG_CHECKPOINT_RESTORE.
import { Cursor } from './cursor.ts'

const [NEWLINE, SLASH, DOT] = [0x0a, 0x2f, 0x2e]

// By SIGEV_ number, without SIGEV_THREAD_ID.
const NOTIFY = ['signal', 'none', 'thread'] as const

export type PosixTimer = {
  /** As timer_create gave it. */
  id: number
  /** sigev_signo. */
  signo: number
  /** sigev_value, a pointer's width. */
  sigval: bigint
  /** sigev_notify without SIGEV_THREAD_ID: SIGEV_SIGNAL, SIGEV_NONE, SIGEV_THREAD. */
  notify: (typeof NOTIFY)[number]
  /** `tid` when SIGEV_THREAD_ID names one thread. */
  target: 'pid' | 'tid'
  /** The process, or the thread, that the signal goes to; as the reader's pid namespace sees it. */
  pid: number
  /** CLOCK_*; negative for the CPU clock of a process or thread. */
  clockid: number
}

/** The timers in the file's order. Throws a BardoError `bug` on anything that is not a timers file. */
export function parseTimers(bytes: Uint8Array): PosixTimer[] {
  const cursor = new Cursor(bytes, 'timers')
  const timers: PosixTimer[] = []
  while (!cursor.atEnd) timers.push(parseTimer(cursor))
  return timers
}

function parseTimer(cursor: Cursor): PosixTimer {
  cursor.expectText('ID: ')
  const id = cursor.decimal()
  cursor.expectText('\nsignal: ')
  const signo = cursor.signed()
  cursor.expect(SLASH)
  const sigval = cursor.hex64()
  cursor.expectText('\nnotify: ')
  const notify = NOTIFY.find(name => cursor.startsWith(name)) ?? cursor.fail(`one of ${NOTIFY.join(', ')}`)
  cursor.expectText(notify)
  cursor.expect(SLASH)
  const target = cursor.startsWith('tid') ? 'tid' : 'pid'
  cursor.expectText(target)
  cursor.expect(DOT)
  const pid = cursor.signed()
  cursor.expectText('\nClockID: ')
  const clockid = cursor.signed()
  cursor.expect(NEWLINE)
  return { id, signo, sigval, notify, target, pid, clockid }
}
