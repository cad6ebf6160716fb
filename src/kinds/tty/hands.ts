// Who acts on a terminal: we at once, where a dump puts back what it took out to read it; or the program of a restore.
import { BardoError } from '../../base/errors.ts'
import { now_ms } from '../../base/run.ts'
import { EAGAIN, EINTR, POLLIN, POLLOUT } from '../../linux/constants.ts'
import { must, refusal, sys } from '../../linux/sys.ts'
import type { Slot } from '../../program/program.ts'
import type { Build } from '../kind.ts'
import { pollFile, readSome } from './device.ts'

/** `F` is how files are named. */
export interface Hands<F> {
  ioctl(file: F, request: number, argument?: number | Uint8Array): void
  /** Writes all. */
  write(file: F, bytes: Uint8Array): void
  /** Takes one byte out, and waits for it as long as that takes. */
  takeByte(file: F): void
  /** Waits until what was written to the other end is in `file`'s line discipline, which holds it all. */
  settle(file: F): void
  /** Waits as long as the kernel takes to process a few bytes; nothing tells when it has. */
  pause(): void
}

/**
 * A terminal takes what is written into buffers of 256 cells or more, a buffer for each piece that does not fit into the
 * last one, as long as they have no more than 8192 cells together; and a cell holds two bytes (tty_buffer_alloc). So it
 * holds most when small pieces fill it nearly, and a large one comes last: what was in one fits into another then,
 * however it was written.
 */
const [SMALL, LARGE] = [256, 1792]
const SMALL_UP_TO = 31 * 2 * SMALL
const PATIENCE_MS = 1000
/** Moving a whole buffer takes the kernel some microseconds, once it has begun. */
const SETTLE_NS = 2_000_000

function* pieces(bytes: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length;) {
    const end = at + (at < SMALL_UP_TO ? SMALL : LARGE)
    yield bytes.subarray(at, end)
    at = end
  }
}

/** Acts at once, on descriptors of ours. */
export const atOnce: Hands<number> = {
  ioctl: (file, request, argument = 0) => void must('ioctl', file, request, argument),
  write(file, bytes) {
    for (const piece of pieces(bytes)) writeAll(file, piece)
  },
  takeByte(file) {
    for (const until = now_ms() + PATIENCE_MS; now_ms() < until;) {
      if ((pollFile(file, POLLIN, PATIENCE_MS) & POLLIN) === 0) break
      const got = readSome(file, 1)
      if (typeof got !== 'number') return
      if (got !== -EINTR && got !== -EAGAIN) throw refusal('read', got, file)
    }
    throw new BardoError('refused', 'a terminal did not take what was typed into it')
  },
  settle(file) {
    pollFile(file, POLLIN, PATIENCE_MS)
    atOnce.pause()
  },
  pause: () => void must('nanosleep', timespec(SETTLE_NS), 0),
}

const timespec = (ns: number): Uint8Array => new Uint8Array(BigInt64Array.of(0n, BigInt(ns)).buffer)

/** Tries before it asks: a terminal may take more than poll tells, which counts only new buffers. */
function writeAll(file: number, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.length;) {
    const wrote = sys('write', file, bytes.subarray(done), bytes.length - done)
    if (wrote >= 0) done += wrote
    else if (wrote === -EAGAIN && (pollFile(file, POLLOUT, PATIENCE_MS) & POLLOUT) === 0)
      throw new BardoError('refused', 'a terminal has no room for what was in it')
    else if (wrote !== -EINTR && wrote !== -EAGAIN) throw refusal('write', wrote, file)
  }
}

/** Says what the coordinator does in a restore. Files must block: a program cannot try again. */
export const said = (at: Build): Hands<Slot<'fd'>> => ({
  ioctl: (file, request, argument = 0) =>
    void at.call('ioctl', file, request, typeof argument === 'number' ? argument : at.memory(argument)),
  write(file, bytes) {
    for (const piece of pieces(bytes)) at.call('write', file, at.memory(piece.slice()), piece.length)
  },
  takeByte: file => void at.call('read', file, at.memory(1), 1),
  settle(file) {
    const waits = new Uint8Array(8)
    new DataView(waits.buffer).setInt16(4, POLLIN, true)
    at.call('ppoll', at.memory(waits, [{ offset: 0, slot: file }]), 1, 0, 0, 0)
    said(at).pause()
  },
  pause: () => void at.call('nanosleep', at.memory(timespec(SETTLE_NS)), 0),
})
