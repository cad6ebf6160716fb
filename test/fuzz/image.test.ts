// Hostile images: whatever the bytes, the reader ends soon, with entries or with one `bad-image`.
// A failure prints its seed; BARDO_SEED=<seed> repeats it, BARDO_FUZZ_RUNS sets how many images are tried.
import { describe, expect, test } from 'bun:test'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { BardoError } from '../../src/base/errors.ts'
import { decode, encode } from '../../src/image/codec.ts'
import { eachEntry, keyOfBytes, memorySource } from '../../src/image/entries.ts'
import { imageFiles } from '../../src/image/files.ts'
import * as messages from '../../src/image/messages/index.ts'
import { showImage } from '../../src/image/show.ts'
import { unknownFields, type Enumeration, type Field, type Message } from '../../src/image/words.ts'

const folder = join(import.meta.dir, '../golden/images')
const images = readdirSync(folder)
  .filter(name => !name.startsWith('pages-'))
  .map(name => ({ name, bytes: new Uint8Array(readFileSync(join(folder, name))) }))
const schemas = (Object.values(messages) as (Message | Enumeration)[]).filter(value => 'fields' in value)

const RUNS = Number(process.env.BARDO_FUZZ_RUNS ?? 20_000)
const SEED = Number(process.env.BARDO_SEED ?? Math.floor(Math.random() * 2 ** 32))

/** A small generator of numbers (mulberry32): the same seed gives the same images everywhere. */
function numbersOf(seed: number): (below: number) => number {
  let state = seed >>> 0
  return below => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below
  }
}

/** Changes that damage does, and that an attacker would try. */
function damage(bytes: Uint8Array, random: (below: number) => number): Uint8Array {
  let out = bytes.slice()
  for (let times = 1 + random(4); times > 0 && out.length > 0; times--) {
    const at = random(out.length)
    switch (random(7)) {
      case 0:
        out[at] = out[at]! ^ (1 << random(8))
        break
      case 1:
        out[at] = [0, 1, 0x7f, 0x80, 0xff][random(5)]!
        break
      case 2:
        out = out.slice(0, at)
        break
      case 3: {
        // A length that promises far more than there is.
        const huge = [0xff, 0xff, 0xff, 0x7f]
        for (let i = 0; i < huge.length && at + i < out.length; i++) out[at + i] = huge[i]!
        break
      }
      case 4: {
        const from = random(out.length)
        const piece = out.slice(from, from + random(40))
        out = Uint8Array.from([...out.subarray(0, at), ...piece, ...out.subarray(at)])
        break
      }
      case 5:
        out = Uint8Array.from([...out.subarray(0, at), ...out.subarray(at + random(20))])
        break
      default:
        for (let i = at; i < out.length && i < at + 8; i++) out[i] = random(256)
    }
  }
  return out
}

/** Runs `read`; any failure but `bad-image` is reported with what repeats it. */
function survive(seed: number, what: string, read: () => void): void {
  try {
    read()
  } catch (thrown) {
    if (thrown instanceof BardoError && thrown.code === 'bad-image') return
    throw new Error(`${what}, BARDO_SEED=${seed}`, { cause: thrown })
  }
}

/** What so many images may take together, of some kB each, while nothing is collected. */
const [RUNS_MEASURED, MEMORY_MAX_KB] = [200, 64 << 10]

/** The most memory that this process had at once since `peakFromNow` (proc(5), clear_refs). */
const peak_kb = (): number => Number(/^VmHWM:\s*(\d+)/m.exec(readFileSync('/proc/self/status', 'latin1'))![1])

function peakFromNow(): number {
  Bun.gc(true)
  writeFileSync('/proc/self/clear_refs', '5')
  return peak_kb()
}

describe('hostile images', () => {
  test(`damaged files of CRIU's, seed ${SEED}`, () => {
    const random = numbersOf(SEED)
    let before_kb = peakFromNow()
    for (let run = 0; run < RUNS; run++) {
      if (run % RUNS_MEASURED === 0) {
        expect([run, peak_kb() - before_kb < MEMORY_MAX_KB]).toEqual([run, true])
        before_kb = peakFromNow()
      }
      const { name, bytes } = images[random(images.length)]!
      const damaged = damage(bytes, random)
      survive(SEED, `run ${run}, ${name}`, () => {
        showImage(memorySource(damaged), name, () => {})
      })
    }
    expect(peak_kb() - before_kb).toBeLessThan(MEMORY_MAX_KB)
  }, 120_000)

  test('every file cut at every byte', () => {
    for (const { name, bytes } of images)
      for (let length = 0; length < bytes.length; length++)
        survive(0, `${name} cut to ${length}`, () => {
          const source = memorySource(bytes.subarray(0, length))
          const key = keyOfBytes(source)
          if (key !== undefined) eachEntry(source, name, imageFiles[key], () => {})
        })
  }, 60_000)

  test(`noise for every message, seed ${SEED}`, () => {
    const random = numbersOf(SEED + 1)
    for (const schema of schemas)
      for (let run = 0; run < Math.ceil(RUNS / 400); run++) {
        const noise = Uint8Array.from({ length: random(64) }, () => (random(3) === 0 ? random(256) : random(24)))
        survive(SEED, `${schema.name}, run ${run}`, () => {
          // What can be decoded can be encoded, and then means the same.
          const state = decode(schema, noise)
          expect(decode(schema, encode(schema, state))).toEqual(state)
        })
      }
  }, 60_000)
})

describe('states of all messages', () => {
  test(`come back as they were, seed ${SEED}`, () => {
    const random = numbersOf(SEED + 2)
    for (const schema of schemas)
      for (let run = 0; run < 20; run++) {
        const state = stateOf(schema, random, 0)
        const bytes = encode(schema, state)
        const again = decode(schema, bytes)
        try {
          expect(again).toEqual(state)
          expect(encode(schema, again)).toEqual(bytes)
        } catch (cause) {
          throw new Error(`${schema.name}, BARDO_SEED=${SEED}`, { cause })
        }
      }
  })
})

function stateOf(schema: Message, random: (below: number) => number, depth: number): never {
  const state: Record<string | symbol, unknown> = {}
  for (const [name, field] of Object.entries(schema.fields)) {
    const one = (): unknown => valueOf(schema, field, random, depth)
    const tooDeep = field.word === 'message' && depth > 4
    if (field.vector === true) {
      // Zeros in runs, as registers have them.
      const values = Array.from({ length: random(100) }, () =>
        random(4) === 0 ? one() : field.word === 'u32' ? 0 : 0n,
      )
      state[name] =
        field.word === 'u32' ? Uint32Array.from(values as number[]) : BigUint64Array.from(values as bigint[])
    } else if (field.label === 'repeated') state[name] = tooDeep ? [] : Array.from({ length: random(3) }, one)
    else if (field.label === 'required' || (!tooDeep && random(2) === 0)) state[name] = one()
  }
  // Field 777, a varint: no message has it.
  if (random(4) === 0) state[unknownFields] = Uint8Array.of(0xc8, 0x30, random(128))
  return state as never
}

function valueOf(schema: Message, field: Field, random: (below: number) => number, depth: number): unknown {
  const wide = BigInt([0, 1, 0x7f, 0x80, 0xffff_ffff][random(5)]!) << BigInt(random(2) * 32)
  switch (field.word) {
    case 'u32':
      return [0, 1, 127, 128, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff][random(7)]
    case 'i32':
    case 's32':
    case 'choice':
      return [0, 1, -1, 127, -128, 0x7fff_ffff, -0x8000_0000][random(7)]
    case 'u64':
    case 'fixed64':
      return random(5) === 0 ? (1n << 64n) - 1n : wide
    case 'i64':
    case 's64':
      return random(5) === 0 ? -(1n << 63n) : BigInt.asIntN(64, random(2) === 0 ? wide : -wide)
    case 'bool':
      return random(2) === 0
    case 'bytes':
      return Uint8Array.from({ length: random(200) }, () => random(256))
    case 'text':
      return ['', 'tmp', 'ä😀', 'a\udcff\udc80', 'x'.repeat(random(300))][random(5)]
    case 'message':
      return stateOf(field.message ?? schema, random, depth + 1)
  }
}
