// /proc/PID/auxv: what the kernel told the program at its start (man 5 proc, man 3 getauxval).
import { Cursor } from './cursor.ts'

const AT_NULL = 0n
const PAIR_BYTES = 16

/**
 * Keys and values in turn, the closing AT_NULL and its value included; 64-bit tasks only.
 * No bytes (a task that ended after the open) give none; of a task without memory the open already says ESRCH.
 * Throws a BardoError `bug` if there is no AT_NULL.
 */
export function parseAuxv(bytes: Uint8Array): bigint[] {
  const cursor = new Cursor(bytes, 'auxv')
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const words: bigint[] = []
  if (cursor.atEnd) return words
  for (;;) {
    if (cursor.at + PAIR_BYTES > bytes.length) cursor.fail('AT_NULL', bytes.length)
    const key = view.getBigUint64(cursor.at, true)
    words.push(key, view.getBigUint64(cursor.at + 8, true))
    cursor.at += PAIR_BYTES
    // What a kernel pads behind it says nothing: getauxval stops here as well.
    if (key === AT_NULL) return words
  }
}
