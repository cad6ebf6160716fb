import { describe, expect, test } from 'bun:test'
import { BardoError } from '../base/errors.ts'
import { decode, encode, encodeEntries, Sink } from './codec.ts'
import { cgroup_dir_entry, cgroup_entry } from './messages/cgroup.ts'
import { pagemap_entry } from './messages/mm.ts'
import {
  bool,
  bytes,
  choice,
  enumeration,
  fixed64,
  i32,
  i64,
  inner,
  message,
  optional,
  repeated,
  s32,
  s64,
  text,
  u32,
  u64,
  unknownFields,
  type State,
} from './words.ts'

const colour = enumeration('colour', { RED: 1, BLUE: 2 })
const point = message('point', { x: s32(1), y: optional(s32(2)) })
const everything = message('everything', {
  u32: optional(u32(1)),
  u64: optional(u64(2)),
  i32: optional(i32(3)),
  i64: optional(i64(4)),
  s32: optional(s32(5)),
  s64: optional(s64(6)),
  fixed64: optional(fixed64(7)),
  bool: optional(bool(8)),
  bytes: optional(bytes(9)),
  text: optional(text(10)),
  choice: optional(choice(11, colour)),
  inner: optional(inner(12, point)),
  list: repeated(u32(13)),
  points: repeated(inner(14, point)),
  far: optional(u32(1000)),
})
type everything = State<typeof everything>

const hexOf = (data: Uint8Array): string => Buffer.from(data).toString('hex')
const fromHex = (text: string): Uint8Array => new Uint8Array(Buffer.from(text.replaceAll(' ', ''), 'hex'))
const failure = (run: () => unknown): BardoError => {
  try {
    run()
  } catch (thrown) {
    if (thrown instanceof BardoError) return thrown
    throw thrown
  }
  throw new Error('nothing was thrown')
}

describe('bytes of a state (protobuf encoding, as protobuf-c writes it)', () => {
  const cases: [string, Partial<everything>, string][] = [
    ['a zero that is set', { u32: 0 }, '0800'],
    ['the largest u32', { u32: 0xffff_ffff }, '08ffffffff0f'],
    ['u64 past 2^53', { u64: 0xffff_ffff_ffff_ffffn }, '10ffffffffffffffffff01'],
    ['u64 of 33 bits', { u64: 1n << 32n }, '108080808010'],
    ['a negative i32 takes ten bytes', { i32: -1 }, '18ffffffffffffffffff01'],
    ['a negative i64', { i64: -2n }, '20feffffffffffffffff01'],
    ['s32 in zigzag', { s32: -1 }, '2801'],
    ['the least s32', { s32: -0x8000_0000 }, '28ffffffff0f'],
    ['s64 in zigzag', { s64: -(1n << 63n) }, '30ffffffffffffffffff01'],
    ['fixed64', { fixed64: 0x0102_0304_0506_0708n }, '390807060504030201'],
    ['false', { bool: false }, '4000'],
    ['bytes', { bytes: Uint8Array.of(0, 255) }, '4a0200ff'],
    ['text that is no UTF-8', { text: 'a\udcff' }, '520261ff'],
    ['text of other scripts', { text: 'ä' }, '5202c3a4'],
    ['a choice', { choice: colour.BLUE }, '5802'],
    ['a message', { inner: { x: 1 } }, '62020802'],
    ['repeated numbers are not packed', { list: [1, 300] }, '680168ac02'],
    ['repeated messages', { points: [{ x: 0 }, { x: 0, y: -1 }] }, '72020800720408001001'],
    ['a tag of two bytes', { far: 1 }, 'c03e01'],
  ]
  for (const [name, state, hex] of cases)
    test(name, () => {
      const whole: everything = { list: [], points: [], ...state }
      expect(hexOf(encode(everything, whole))).toBe(hex)
      expect(decode(everything, fromHex(hex))).toEqual(whole)
    })

  test('lengths of one, two and three bytes move what is behind them', () => {
    const box = message('box', { content: inner(1, message('content', { data: bytes(1) })), after: u32(2) })
    for (const size of [0, 125, 126, 16381, 16382, 300_000]) {
      const state = { content: { data: new Uint8Array(size).fill(7) }, after: 9 }
      expect(decode(box, encode(box, state))).toEqual(state)
    }
  })

  test('fields go in the order of their numbers, unknown ones at the end', () => {
    const mixed = message('mixed', { second: u32(2), first: u32(1) })
    const data = fromHex('0801 c83005 1002 ca3003 616263')
    const state = decode(mixed, data)
    expect(state).toEqual({ second: 2, first: 1, [unknownFields]: fromHex('c83005 ca3003616263') })
    expect(hexOf(encode(mixed, state))).toBe('08011002c83005ca3003616263')
  })

  test('packed numbers are read too', () => {
    expect(decode(everything, fromHex('6a0301ac02')).list).toEqual([1, 300])
  })

  test('an unknown value of a choice survives', () => {
    expect(hexOf(encode(everything, decode(everything, fromHex('5863'))))).toBe('5863')
  })

  test('an enumeration is a number in state and has names', () => {
    expect(colour.RED).toBe(1)
    expect(Object.keys(colour)).toEqual(['RED', 'BLUE'])
  })

  test('decoded bytes are a copy: the buffer may be used again', () => {
    const data = fromHex('4a020102')
    const state = decode(everything, data)
    data.fill(0)
    expect(state.bytes).toEqual(Uint8Array.of(1, 2))
  })

  test('many entries go into one buffer', () => {
    const entries = Array.from({ length: 1000 }, (_, i) => ({
      vaddr: 0x7f00_0000_0000n + BigInt(i) * 8192n,
      compat_nr_pages: 0,
      flags: 4,
      nr_pages: 1n,
    }))
    const sink = new Sink()
    encodeEntries(sink, pagemap_entry, entries)
    const data = sink.written()
    let at = 0
    for (const entry of entries) {
      const length = data[at]!
      expect(decode(pagemap_entry, data.subarray(at + 4, at + 4 + length))).toEqual(entry)
      at += 4 + length
    }
    expect(at).toBe(data.length)
  })
})

describe('damaged bytes', () => {
  const cases: [string, string, string][] = [
    ['a required field is missing', '1001', 'point.x: is required and is missing'],
    ['a number is cut short', '0880', 'point.x: a number is cut short'],
    ['a number never ends', `08${'ff'.repeat(10)}01`, 'point.x: a number is longer than ten bytes'],
    ['another wire type', '0a0100', 'point.x: wire type 2 does not hold s32'],
    ['a length passes the end', '0800 8a06ffffffff0f', 'point: a length of 4294967295 passes the end, 0 bytes on'],
    ['a group', '0800 9b06', 'point: wire type 3 is not used in images'],
    ['a field without a number', '0800 0001', 'point: a field has no valid number'],
    ['an unknown field is cut short', '0800 890600', 'point: an unknown field is cut short'],
  ]
  for (const [name, hex, what] of cases)
    test(name, () => {
      const error = failure(() => decode(point, fromHex(hex)))
      expect(error.code).toBe('bad-image')
      expect(error.what).toBe(`cannot decode ${what}`)
      expect(error.where).toMatch(/^byte \d+ of the entry$/)
    })

  test('a length of 64 bits', () => {
    expect(failure(() => decode(everything, fromHex('4affffffffffffffffff01'))).what).toBe(
      'cannot decode everything.bytes: a length of 18446744073709551615 passes the end, 0 bytes on',
    )
  })

  test('more values than memory could take', () => {
    const data = new Uint8Array(3 << 20)
    for (let at = 0; at < data.length; at += 2) data[at] = 0x12
    expect(failure(() => decode(cgroup_entry, data)).what).toBe(
      'cannot decode cgroup_entry.controllers: more than 1048576 repeated values',
    )
  })

  test('messages that nest without end', () => {
    let data = Uint8Array.of(0x0a, 0)
    for (let depth = 0; depth < 200; depth++) {
      const sink = new Sink()
      sink.append(Uint8Array.of(0x0a, 0, 0x12, 0x80 | (data.length & 0x7f), data.length >> 7))
      sink.append(data)
      data = sink.bytes.slice(0, sink.used)
    }
    expect(failure(() => decode(cgroup_dir_entry, data)).what).toContain('nest deeper than 100')
  })
})

describe('a state that the schema does not allow is a bug', () => {
  const cases: [string, object, string][] = [
    ['a required field that is not there', {}, 'point.x: it is required and was not given'],
    ['a number out of range', { x: 2 ** 31 }, 'point.x: it holds s32, not number 2147483648'],
    ['a fraction', { x: 0.5 }, 'point.x: it holds s32, not number 0.5'],
    ['a bigint for a number', { x: 1n }, 'point.x: it holds s32, not bigint 1'],
  ]
  for (const [name, state, what] of cases)
    test(name, () => {
      const error = failure(() => encode(point, state as never))
      expect(error.code).toBe('bug')
      expect(error.what).toBe(`cannot encode ${what}`)
    })

  test('64 bits are bigints within range', () => {
    for (const u64 of [1, -1n, 1n << 64n]) {
      const state = { list: [], points: [], u64 }
      expect(failure(() => encode(everything, state as never)).code).toBe('bug')
    }
  })
})
