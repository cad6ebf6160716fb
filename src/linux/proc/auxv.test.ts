import { describe, expect, test } from 'bun:test'
import { readFileSync } from 'node:fs'
import { parseAuxv } from './auxv.ts'

const bytes = (...words: bigint[]) => new Uint8Array(BigUint64Array.from(words).buffer)

describe('auxv', () => {
  test('pairs up to AT_NULL, which stays', () => {
    expect(parseAuxv(bytes(6n, 4096n, 33n, 2n ** 64n - 1n, 0n, 0n))).toEqual([6n, 4096n, 33n, 2n ** 64n - 1n, 0n, 0n])
  })
  test('padding behind it is left', () => expect(parseAuxv(bytes(6n, 1n, 0n, 0n, 9n, 9n))).toEqual([6n, 1n, 0n, 0n]))
  test('no bytes give none', () => expect(parseAuxv(new Uint8Array(0))).toEqual([]))
  test('bytes at an odd place', () => {
    const odd = new Uint8Array(33)
    odd.set(bytes(6n, 4096n, 0n, 0n), 1)
    expect(parseAuxv(odd.subarray(1))).toEqual([6n, 4096n, 0n, 0n])
  })
  test('no AT_NULL', () => expect(() => parseAuxv(bytes(6n, 4096n))).toThrow('cannot parse auxv'))
  test('half a pair', () => expect(() => parseAuxv(bytes(6n, 4096n, 0n))).toThrow('cannot parse auxv'))

  test('of this process', () => {
    const words = parseAuxv(readFileSync('/proc/self/auxv'))
    const value = (key: bigint) => words.find((_, i) => i % 2 === 1 && words[i - 1] === key)
    expect(value(6n)).toBe(4096n) // AT_PAGESZ
    expect(value(11n)).toBe(BigInt(process.getuid!())) // AT_UID
    expect(words.slice(-2)).toEqual([0n, 0n])
  })
})
