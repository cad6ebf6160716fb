// /proc/PID/stat and /proc/PID/task/TID/stat: one line of numbers about a task (man 5 proc; do_task_stat in
// fs/proc/array.c).
import { Cursor } from './cursor.ts'

const [NEWLINE, SPACE, OPEN, CLOSE] = [0x0a, 0x20, 0x28, 0x29]

/** The number of fields since Linux 3.5. */
const FIELDS = 52
/** The first field behind the name, by the manual's count from 1. */
const STATE = 3

/**
 * A task's line. Ids are as the reader's pid namespace sees them. The addresses of the memory map are 0, or 1,
 * where the reader may not ptrace the task, and 0 where it has no memory (kernel thread, zombie).
 */
export type Stat = {
  pid: number
  /** At most 15 bytes, any but NUL; 63 for kernel threads. */
  comm: string
  /** One letter: R S D T t Z X I. */
  state: string
  ppid: number
  pgrp: number
  session: number
  /** The controlling terminal as new_encode_dev makes it, 0 for none. */
  tty_nr: number
  /** Foreground process group of that terminal, -1 for none. */
  tpgid: number
  /** PF_* of include/linux/sched.h. */
  flags: number
  nice: number
  num_threads: number
  /** In ticks (sysconf(_SC_CLK_TCK)) since boot. With the pid it tells one process from another. */
  starttime: bigint
  start_code: number
  end_code: number
  start_stack: number
  /** -1 for a thread that is not the leader. */
  exit_signal: number
  processor: number
  rt_priority: number
  /** SCHED_*. */
  policy: number
  start_data: number
  end_data: number
  start_brk: number
  arg_start: number
  arg_end: number
  env_start: number
  env_end: number
  /** As wait4 gives it; 0 where the reader may not ptrace the task. */
  exit_code: number
}

/** Throws a BardoError `bug` on anything that is not a whole stat line. */
export function parseStat(bytes: Uint8Array): Stat {
  const cursor = new Cursor(bytes, 'stat')
  const pid = cursor.decimal()
  cursor.expect(SPACE)
  cursor.expect(OPEN)
  // The name may hold parentheses, spaces and newlines, unescaped since Linux 4.18; no later field holds a parenthesis.
  const close = bytes.lastIndexOf(CLOSE)
  if (close < cursor.at) cursor.fail("')' behind the name")
  const comm = cursor.text(close)
  cursor.expect(CLOSE)
  cursor.expect(SPACE)
  const stateAt = cursor.at
  const starts = fieldStarts(cursor)
  cursor.at = stateAt
  const state = cursor.text(stateAt + 1)
  cursor.expect(SPACE)

  const seek = (field: number): Cursor => {
    cursor.at = starts[field]!
    return cursor
  }
  const unsigned = (field: number): number => whole(cursor, seek(field).decimal())
  const signed = (field: number): number => whole(cursor, seek(field).signed())
  return {
    pid,
    comm,
    state,
    ppid: unsigned(4),
    pgrp: signed(5),
    session: signed(6),
    tty_nr: signed(7),
    tpgid: signed(8),
    flags: unsigned(9),
    nice: signed(19),
    num_threads: unsigned(20),
    starttime: whole(cursor, seek(22).decimal64()),
    start_code: unsigned(26),
    end_code: unsigned(27),
    start_stack: unsigned(28),
    exit_signal: signed(38),
    processor: signed(39),
    rt_priority: unsigned(40),
    policy: unsigned(41),
    start_data: unsigned(45),
    end_data: unsigned(46),
    start_brk: unsigned(47),
    arg_start: unsigned(48),
    arg_end: unsigned(49),
    env_start: unsigned(50),
    env_end: unsigned(51),
    exit_code: signed(52),
  }
}

/** Where each field begins, by its number; later kernels may have appended more. */
function fieldStarts(cursor: Cursor): number[] {
  const end = cursor.lineEnd()
  const starts: number[] = []
  let field = STATE
  starts[field++] = cursor.at
  for (let at = cursor.at; at < end; at++) if (cursor.bytes[at] === SPACE) starts[field++] = at + 1
  if (field <= FIELDS) cursor.fail(`${FIELDS} fields`, end)
  return starts
}

/** The value, if the field ends behind it: `12x` is no number. */
function whole<T>(cursor: Cursor, value: T): T {
  if (cursor.next !== SPACE && cursor.next !== NEWLINE) cursor.fail('the end of the field')
  return value
}
