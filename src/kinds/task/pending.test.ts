import { expect, test } from 'bun:test'
import { pendingMask } from './pending.ts'

const siginfoOf = (signal: number): Uint8Array => new Uint8Array(Int32Array.of(signal, 0, 0, 0).buffer)
const maskOf = (...siginfos: Uint8Array[]): bigint => pendingMask({ signals: siginfos.map(siginfo => ({ siginfo })) })

test('waiting signals are bits', () => {
  expect(pendingMask(undefined)).toBe(0n)
  expect(maskOf(siginfoOf(1), siginfoOf(64), siginfoOf(64))).toBe((1n << 63n) | 1n)
})

test('what is no signal is a bad image, and no bit of a very large number', () => {
  for (const signal of [0, -1, 65, 0x7fff_ffff]) expect(() => maskOf(siginfoOf(signal))).toThrow(/is none$/)
  expect(() => maskOf(new Uint8Array(3))).toThrow(/is none$/)
})
