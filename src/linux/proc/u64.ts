// 64-bit words of kernel structs as JS numbers, in two halves: many times faster than through bigint.

const HIGH = 0x1_0000_0000

/** Writes `value`, an integer from 0 to below 2^64 that a JS number holds exactly, at offset `at`. */
export function setU64(view: DataView, at: number, value: number): void {
  view.setUint32(at, value % HIGH, true)
  view.setUint32(at + 4, Math.floor(value / HIGH), true)
}

/** The word at offset `at`: exact below 2^53, and above for multiples of 4096 such as page addresses. */
export function getU64(view: DataView, at: number): number {
  return view.getUint32(at + 4, true) * HIGH + view.getUint32(at, true)
}
