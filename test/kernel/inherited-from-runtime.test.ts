// What the first restored process would inherit from the runtime that we are: it must be undone in it.
import { expect, test } from 'bun:test'
import { readFileSync } from 'node:fs'
import { syscall } from '../../src/linux/ffi.ts'
import { NR } from '../../src/linux/nr.ts'

const [SIGPIPE, SIGXFSZ] = [13, 25]

const signalSet = (name: string): bigint =>
  BigInt(`0x${new RegExp(`^${name}:\\s*([0-9a-f]+)`, 'm').exec(readFileSync('/proc/self/status', 'utf8'))![1]!}`)

test('the runtime ignores SIGPIPE and SIGXFSZ, and what is ignored is inherited', () => {
  const ignored = signalSet('SigIgn')
  expect(ignored & (1n << BigInt(SIGPIPE - 1))).not.toBe(0n)
  expect(ignored & (1n << BigInt(SIGXFSZ - 1))).not.toBe(0n)
})

test('the runtime catches no SIGCHLD, so that a wait by pid of ours is never answered by it', () => {
  expect(signalSet('SigCgt') & (1n << 16n)).toBe(0n)
})

test('our calls are made on the main thread: ptrace belongs to one thread', () => {
  expect(syscall(NR.gettid)).toBe(syscall(NR.getpid))
})
