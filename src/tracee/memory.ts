// A task's memory, read and written from outside.
import { BardoError } from '../base/errors.ts'
import { EFAULT, EIO, ESRCH, O_CLOEXEC, O_RDWR } from '../linux/constants.ts'
import { Arena, syscall } from '../linux/ffi.ts'
import { NR } from '../linux/nr.ts'
import { OpenFile, must, refusal } from '../linux/sys.ts'

const BUFFER_SIZE = 64 << 10
const buffer = new Arena(BUFFER_SIZE)
const iovs = new Arena(4096)
const local = iovs.take(32)
const remote = iovs.take(32)

function setIov(at: number, base: number, length: number): void {
  iovs.view.setBigUint64(at - iovs.address, BigInt(base), true)
  iovs.view.setBigUint64(at - iovs.address + 8, BigInt(length), true)
}

function failed(
  name: 'process_vm_readv' | 'process_vm_writev',
  pid: number,
  address: number,
  result: number,
): BardoError {
  if (result === -ESRCH) return new BardoError('lost', `task ${pid} died while its memory was in use`)
  return new BardoError('refused', `${name}(${pid}) at 0x${address.toString(16)} failed`, {
    errno: result < 0 ? -result : EFAULT,
  })
}

/** Copies `length` bytes of task `pid` at `address` straight to our own `target` address (mapped memory of ours). */
export function copyFrom(pid: number, address: number, length: number, target: number): void {
  for (let done = 0; done < length;) {
    setIov(local, target + done, length - done)
    setIov(remote, address + done, length - done)
    const n = syscall(NR.process_vm_readv, pid, local, 1, remote, 1, 0)
    if (n <= 0) throw failed('process_vm_readv', pid, address + done, n)
    done += n
  }
}

/** Copies `length` bytes of ours at `source` into task `pid` at `address`, which must be writable there. */
export function copyTo(pid: number, address: number, length: number, source: number): void {
  for (let done = 0; done < length;) {
    setIov(local, source + done, length - done)
    setIov(remote, address + done, length - done)
    const n = syscall(NR.process_vm_writev, pid, local, 1, remote, 1, 0)
    if (n <= 0) throw failed('process_vm_writev', pid, address + done, n)
    done += n
  }
}

type Piece = { readonly address: number; readonly length: number; readonly source: number }

/** `copyTo` of two pieces with one call, in their order. */
export function copyBothTo(pid: number, one: Piece, other: Piece): void {
  if (one.length === 0) return copyTo(pid, other.address, other.length, other.source)
  setIov(local, one.source, one.length)
  setIov(local + 16, other.source, other.length)
  setIov(remote, one.address, one.length)
  setIov(remote + 16, other.address, other.length)
  const n = syscall(NR.process_vm_writev, pid, local, 2, remote, 2, 0)
  // In parts only where memory cannot be written: the calls for each then say what is wrong.
  if (n === one.length + other.length) return
  copyTo(pid, one.address, one.length, one.source)
  copyTo(pid, other.address, other.length, other.source)
}

/** Reads memory of a task: for words and strings, not for pages of data. */
export function readMemory(pid: number, address: number, length: number): Uint8Array {
  if (length > BUFFER_SIZE) throw new RangeError(`readMemory of ${length} bytes: copy them with copyFrom`)
  copyFrom(pid, address, length, buffer.address)
  return buffer.bytes.slice(0, length)
}

export function writeMemory(pid: number, address: number, data: Uint8Array): void {
  if (data.length > BUFFER_SIZE) throw new RangeError(`writeMemory of ${data.length} bytes: copy them with copyTo`)
  buffer.bytes.set(data)
  copyTo(pid, address, data.length, buffer.address)
}

/**
 * Writes `data` whatever the mapping's protection: /proc/PID/mem writes through read-only mappings
 * (process_vm_writev does not), making a private copy of the page.
 */
export function pokeMemory(pid: number, address: number, data: Uint8Array): void {
  using mem = new OpenFile(must('openat', -100, `/proc/${pid}/mem`, O_RDWR | O_CLOEXEC))
  buffer.bytes.set(data)
  const n = syscall(NR.pwrite64, mem.fd, buffer.address, data.length, address)
  if (n !== data.length) throw refusal('pwrite64', n < 0 ? n : -EIO, `/proc/${pid}/mem`, data, data.length, address)
}
