// What the seam (src/linux/ffi.ts) promises, held against each new version of the runtime.
import { expect, test } from 'bun:test'
import { Arena, bytesAt, syscall, syscall64 } from '../../src/linux/ffi.ts'
import { NR } from '../../src/linux/nr.ts'

const EBADF = 9
const SEEK_SET = 0

test('an arena keeps its address and its bytes while the collector works', () => {
  const arena = new Arena(1 << 16)
  const at = arena.put(new Uint8Array(1000).fill(0x5a))
  let kept: unknown[] = []
  for (let i = 0; i < 200_000; i++) {
    kept.push({ i, text: `object ${i}` })
    if (kept.length > 10_000) kept = []
  }
  Bun.gc(true)
  expect(arena.at(at, 1000).every(byte => byte === 0x5a)).toBe(true)
  expect(bytesAt(at, 1)[0]).toBe(0x5a)
  arena.unmap()
})

test('a call gives -errno, and large numbers pass exactly in both directions', () => {
  expect(syscall(NR.close, -1)).toBe(-EBADF)
  const arena = new Arena(4096)
  const fd = syscall(NR.memfd_create, arena.put(new TextEncoder().encode('seam\0')), 0)
  expect(fd).toBeGreaterThan(2)
  for (const offset of [0, 1, 2 ** 31, 2 ** 32 + 5, 2 ** 40 + 1, 2 ** 52 + 3]) {
    expect(syscall(NR.lseek, fd, offset, SEEK_SET)).toBe(offset)
    expect(syscall64(NR.lseek, fd, BigInt(offset), SEEK_SET)).toBe(BigInt(offset))
  }
  syscall(NR.close, fd)
})

test('a hundred thousand calls give the same answer: no stale memory after the code is compiled', () => {
  const pid = syscall(NR.getpid)
  let wrong = 0
  for (let i = 0; i < 100_000; i++) if (syscall(NR.getpid) !== pid) wrong++
  expect(wrong).toBe(0)
})
