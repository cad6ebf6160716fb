// The bytes of files, read at a place or moved by the kernel; the positions of others' descriptors stay as they are.
import { BardoError } from '../../base/errors.ts'
import { AT_FDCWD, EINTR, O_CLOEXEC, O_NOCTTY, O_RDONLY } from '../../linux/constants.ts'
import { Arena, syscall } from '../../linux/ffi.ts'
import { NR } from '../../linux/nr.ts'
import { must, OpenFile } from '../../linux/sys.ts'
import { buildIdOf } from './build-id.ts'

const WINDOW_BYTES = 64 << 10
const window = new Arena(WINDOW_BYTES)

/** Opens anew the file of a descriptor of ours, for reading: the description itself may be write-only, or O_PATH. */
export function openToRead(fd: number): OpenFile {
  return new OpenFile(must('openat', AT_FDCWD, `/proc/self/fd/${fd}`, O_RDONLY | O_CLOEXEC | O_NOCTTY))
}

/** Up to `length` bytes (64 KiB at most) at `offset`: a copy. */
function readAt(fd: number, offset: number, length: number): Uint8Array {
  for (;;) {
    const got = syscall(NR.pread64, fd, window.address, Math.min(length, WINDOW_BYTES), offset)
    if (got === -EINTR) continue
    // What cannot be read has no build id: the size alone must do then, as in CRIU.
    return got <= 0 ? new Uint8Array(0) : window.bytes.slice(0, got)
  }
}

/** The build id of an open file of `size` bytes; empty if it is no ELF file, has none, or cannot be read. */
export function buildIdOfFile(fd: number, size: number): number[] {
  return buildIdOf(size, (offset, length) => readAt(fd, offset, length))
}

/** Moves `length` bytes of `from` at `offset` to where `to` stands. Throws `refused`, naming `what`. */
export function moveBytes(from: number, offset: number, length: number, to: number, what: string): void {
  window.view.setBigInt64(0, BigInt(offset), true)
  for (let left = length; left > 0;) {
    const moved = syscall(NR.sendfile, to, from, window.address, left)
    if (moved === -EINTR) continue
    if (moved < 0) throw new BardoError('refused', `cannot copy ${what}`, { errno: moved })
    if (moved === 0)
      throw new BardoError('refused', `cannot copy ${what}`, { why: 'it became shorter while it was copied' })
    left -= moved
  }
}

/** Moves `length` bytes from a pipe of ours to where `to` stands. */
export function drainPipe(pipe: number, length: number, to: number, what: string): void {
  for (let left = length; left > 0;) {
    const moved = syscall(NR.splice, pipe, 0, to, 0, left, 0)
    if (moved === -EINTR) continue
    if (moved <= 0) throw new BardoError('refused', `cannot save ${what}`, { errno: moved === 0 ? undefined : moved })
    left -= moved
  }
}
