// Waiting: for several descriptors at once, or a while.
import { EINTR } from './constants.ts'
import { refusal, scratch, sys } from './sys.ts'

export type Waited = { readonly fd: number; readonly events: number }

/** poll(2): what has happened to each; all 0 when a signal or the time ended it. `timeout_ms` of -1 is for ever. */
export function poll(files: readonly Waited[], timeout_ms = -1): number[] {
  const mark = scratch.mark()
  try {
    const at = scratch.take(Math.max(8, 8 * files.length))
    const offset = at - scratch.address
    files.forEach(({ fd, events }, index) => {
      scratch.view.setInt32(offset + 8 * index, fd, true)
      scratch.view.setInt16(offset + 8 * index + 4, events, true)
    })
    const result = sys('poll', at, files.length, timeout_ms)
    if (result < 0 && result !== -EINTR) throw refusal('poll', result)
    return files.map((_, index) => (result < 0 ? 0 : scratch.view.getUint16(offset + 8 * index + 6, true)))
  } finally {
    scratch.release(mark)
  }
}

/** Waits `ns` nanoseconds, less than a second, or until a signal comes. */
export function nap(ns: number): void {
  const mark = scratch.mark()
  const at = scratch.take(16)
  scratch.view.setBigInt64(at - scratch.address + 8, BigInt(ns), true)
  sys('nanosleep', at, 0)
  scratch.release(mark)
}
