// /proc/PID/limits: the resource limits, readable where prlimit is not permitted (man 5 proc; proc_pid_limits in
// fs/proc/base.c).
import { Cursor } from './cursor.ts'

const [NEWLINE, SPACE, LETTER_U] = [0x0a, 0x20, 0x75]

/** RLIM64_INFINITY: no limit. */
export const RLIM_INFINITY = 0xffff_ffff_ffff_ffffn

// By RLIMIT_ number (include/uapi/asm-generic/resource.h); the file has the same order.
const NAMES = [
  'Max cpu time', // RLIMIT_CPU
  'Max file size',
  'Max data size',
  'Max stack size',
  'Max core file size',
  'Max resident set',
  'Max processes',
  'Max open files',
  'Max locked memory',
  'Max address space',
  'Max file locks',
  'Max pending signals',
  'Max msgqueue size',
  'Max nice priority',
  'Max realtime priority',
  'Max realtime timeout', // RLIMIT_RTTIME
] as const

/** Soft and hard limit, in the unit of its RLIMIT_. */
export type Limit = { cur: bigint; max: bigint }

/** The 16 limits by RLIMIT_ number. Throws a BardoError `bug` on anything that is not a limits file. */
export function parseLimits(bytes: Uint8Array): Limit[] {
  const cursor = new Cursor(bytes, 'limits')
  cursor.expectText('Limit ')
  cursor.nextLine()
  const limits = NAMES.map(name => {
    cursor.expectText(name)
    const cur = value(cursor)
    const max = value(cursor)
    // The rest of the line is the unit.
    if (cursor.next !== SPACE && cursor.next !== NEWLINE) cursor.fail('the end of the value')
    cursor.nextLine()
    return { cur, max }
  })
  if (!cursor.atEnd) cursor.fail(`${NAMES.length} limits`)
  return limits
}

function value(cursor: Cursor): bigint {
  cursor.expect(SPACE)
  cursor.skip(SPACE)
  if (cursor.next !== LETTER_U) return cursor.decimal64()
  cursor.expectText('unlimited')
  return RLIM_INFINITY
}
