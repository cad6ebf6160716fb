// Who acts on a terminal: we at once, where a dump puts back what it took out to read it; or the program of a restore.
import { BardoError } from '../../base/errors.ts'
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
}

/**
 * Written in pieces of this size a terminal holds most: its buffers have 256 cells at least, and twice as many bytes
 * (tty_buffer_alloc). So what was in one fits into another, however it was written.
 */
const PIECE = 256
const PATIENCE_MS = 1000

function* pieces(bytes: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += PIECE) yield bytes.subarray(at, at + PIECE)
}

/** Acts at once, on descriptors of ours. */
export const atOnce: Hands<number> = {
  ioctl: (file, request, argument = 0) => void must('ioctl', file, request, argument),
  write(file, bytes) {
    for (const piece of pieces(bytes)) writeAll(file, piece)
  },
  takeByte(file) {
    for (const until = performance.now() + PATIENCE_MS; performance.now() < until; ) {
      if ((pollFile(file, POLLIN, PATIENCE_MS) & POLLIN) === 0) break
      const got = readSome(file, 1)
      if (typeof got !== 'number') return
      if (got !== -EINTR && got !== -EAGAIN) throw refusal('read', got, file)
    }
    throw new BardoError('refused', 'a terminal did not take what was typed into it')
  },
}

function writeAll(file: number, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.length; ) {
    if ((pollFile(file, POLLOUT, PATIENCE_MS) & POLLOUT) === 0)
      throw new BardoError('refused', 'a terminal has no room for what was in it')
    const wrote = sys('write', file, bytes.subarray(done), bytes.length - done)
    if (wrote >= 0) done += wrote
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
})
