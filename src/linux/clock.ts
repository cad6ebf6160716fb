// The kernel's clock, for a run whose runtime believes that it started at another time: its own clock stands still while
// this machine has been up for less than the one on which it was frozen (docs/decisions/frozen-start.md).
import { must, scratch } from './sys.ts'

const CLOCK_MONOTONIC = 1

/** CLOCK_MONOTONIC in milliseconds, exact to the microsecond. */
export function monotonic_ms(): number {
  const mark = scratch.mark()
  const at = scratch.take(16)
  must('clock_gettime', CLOCK_MONOTONIC, at)
  const offset = at - scratch.address
  const ms = Number(scratch.view.getBigInt64(offset, true)) * 1000 + scratch.view.getUint32(offset + 8, true) / 1e6
  scratch.release(mark)
  return ms
}
