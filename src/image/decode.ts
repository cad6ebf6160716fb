// Bytes to state. An image is hostile input: every length is held against what is there before it is used, and depth
// is bounded.
import { textOf } from '../base/bytes.ts'
import { BardoError } from '../base/errors.ts'
import {
  EIGHT_BYTES,
  FOUR_BYTES,
  LENGTH,
  planOf,
  remember,
  VARINT,
  ZERO_RUN,
  type Plan,
  type Slot,
  type Values,
  type Vector,
} from './plan.ts'
import { unknownFields, type Fields, type Message, type State } from './words.ts'

/** How deep messages may nest. CRIU's deepest is a tree of cgroup directories. */
const DEPTH_MAX = 100

/**
 * How many repeated values one message may hold in all. Two bytes can make an object of two hundred, so the length of
 * the bytes alone does not bound memory. The most there are, mappings of a task, are 65,530, or 262,144 where a
 * database raised the limit (vm.max_map_count).
 */
const ITEMS_MAX = 1 << 20

const TWO_32 = 0x1_0000_0000

// One 64-bit word and its halves, for numbers past 2^53.
const wide = new BigUint64Array(1)
const halves = new Uint32Array(wide.buffer)

/**
 * The state in `bytes`. Fields that the schema does not know are kept under `unknownFields`.
 * Throws `bad-image` with message and field where a required field is missing, a number or length is cut short or
 * too long, a field has another wire type than its own, or messages nest deeper than 100.
 */
export function decode<F extends Fields>(message: Message<F>, bytes: Uint8Array): State<Message<F>> {
  itemsLeft = ITEMS_MAX
  return readMessage({ bytes, at: 0 }, planOf(message), bytes.length, 0) as State<Message<F>>
}

interface Source {
  readonly bytes: Uint8Array
  at: number
}

/** Of the message that is being decoded. */
let itemsLeft = 0

// The varint read last, in halves: returning them as an object would cost an allocation for each.
let low = 0
let high = 0

function readMessage(source: Source, plan: Plan, end: number, depth: number): Values {
  if (depth > DEPTH_MAX) throw bad(source, plan, undefined, `messages nest deeper than ${DEPTH_MAX}`)
  const state: Values = {}
  for (const slot of plan.repeated) state[slot.name] = slot.empty ?? []
  let unknown: number[] | undefined
  while (source.at < end) {
    const start = source.at
    readVarint(source, plan, undefined, end)
    const wire = low & 7
    const number = low >>> 3
    if (high !== 0 || number === 0) throw bad(source, plan, undefined, 'a field has no valid number')
    const slot = plan.byNumber[number] ?? plan.late.get(number)
    if (slot === undefined) {
      skip(source, plan, wire, end)
      unknown ??= []
      unknown.push(start, source.at)
    } else if (slot.empty !== undefined) {
      if (wire !== LENGTH && wire !== slot.wire)
        throw bad(source, plan, slot, `wire type ${wire} does not hold ${slot.word}`)
      state[slot.name] = readVector(source, plan, slot, state[slot.name] as Vector, wire === LENGTH, end)
    } else if (wire !== slot.wire) {
      if (wire !== LENGTH || !slot.repeated)
        throw bad(source, plan, slot, `wire type ${wire} does not hold ${slot.word}`)
      readPacked(source, plan, slot, state[slot.name] as unknown[], end)
    } else {
      const value = readField(source, plan, slot, end, depth)
      if (slot.repeated) keep(source, plan, slot, state[slot.name] as unknown[], value)
      else state[slot.name] = value
    }
  }
  for (const slot of plan.required)
    if (state[slot.name] === undefined) throw bad(source, plan, slot, 'is required and is missing')
  if (unknown !== undefined) state[unknownFields] = gather(source.bytes, unknown)
  return state
}

function readField(source: Source, plan: Plan, slot: Slot, end: number, depth: number): unknown {
  switch (slot.word) {
    case 'u32':
      readVarint(source, plan, slot, end)
      return low >>> 0
    case 'u64':
      readVarint(source, plan, slot, end)
      return unsigned()
    case 'i32':
    case 'choice':
      readVarint(source, plan, slot, end)
      return low | 0
    case 's32':
      readVarint(source, plan, slot, end)
      return (low >>> 1) ^ -(low & 1)
    case 'i64':
      readVarint(source, plan, slot, end)
      return BigInt.asIntN(64, unsigned())
    case 's64': {
      readVarint(source, plan, slot, end)
      const zigzag = unsigned()
      return (zigzag >> 1n) ^ -(zigzag & 1n)
    }
    case 'bool':
      readVarint(source, plan, slot, end)
      return low !== 0 || high !== 0
    case 'fixed64': {
      if (end - source.at < 8) throw bad(source, plan, slot, 'is cut short')
      low = readU32(source.bytes, source.at)
      high = readU32(source.bytes, source.at + 4)
      source.at += 8
      return unsigned()
    }
    case 'bytes': {
      const length = readLength(source, plan, slot, end)
      source.at += length
      return source.bytes.slice(source.at - length, source.at)
    }
    case 'text': {
      const length = readLength(source, plan, slot, end)
      source.at += length
      return textOf(source.bytes.subarray(source.at - length, source.at))
    }
    case 'message': {
      const length = readLength(source, plan, slot, end)
      const from = source.at
      const known = slot.met?.find(
        ({ bytes }) =>
          bytes.length === length && Buffer.compare(bytes, source.bytes.subarray(from, from + length)) === 0,
      )
      if (known !== undefined) {
        source.at += length
        return known.state
      }
      const state = readMessage(source, planOf(slot.inner!), from + length, depth + 1)
      if (slot.met !== undefined) remember(slot.met, state, source.bytes.slice(from, from + length))
      return state
    }
  }
}

/** Other writers may pack repeated numbers into one field; readers take both forms. */
function readPacked(source: Source, plan: Plan, slot: Slot, into: unknown[], end: number): void {
  const length = readLength(source, plan, slot, end)
  const last = source.at + length
  while (source.at < last) keep(source, plan, slot, into, readField(source, plan, slot, last, 0))
}

/** How many words a vector may have: an XSAVE area of 32 KB. */
const VECTOR_MAX = 8192
// The words of the vector that is read, those of 64 bits in two halves; zeros but for those.
const collected = new Uint32Array(2 * VECTOR_MAX)

/** Elements of a vector behind those `before`, as many as follow one another. The first one's tag has been read. */
function readVector(source: Source, plan: Plan, slot: Slot, before: Vector, packed: boolean, end: number): Vector {
  const { bytes } = source
  const last = packed ? readLength(source, plan, slot, end) + source.at : end
  const size = slot.word === 'u64' ? 2 : 1
  let count = 0
  for (;;) {
    if (packed && source.at >= last) break
    if (count > VECTOR_MAX - ZERO_RUN - 1) throw bad(source, plan, slot, `more than ${VECTOR_MAX} words`)
    readVarint(source, plan, slot, last)
    collected[size * count] = low
    if (size === 2) collected[2 * count + 1] = high
    count++
    if (packed) continue
    while (
      source.at + 2 * ZERO_RUN <= end &&
      count < VECTOR_MAX - 2 * ZERO_RUN &&
      slot.zeros.compare(bytes, source.at, source.at + 2 * ZERO_RUN) === 0
    ) {
      count += ZERO_RUN
      source.at += 2 * ZERO_RUN
    }
    if (source.at >= end || bytes[source.at] !== slot.tag) break
    source.at++
  }
  const words = collected.slice(0, size * count)
  collected.fill(0, 0, size * count)
  const read = size === 2 ? new BigUint64Array(words.buffer) : words
  if (before.length === 0) return read
  if (before.length + count > VECTOR_MAX) throw bad(source, plan, slot, `more than ${VECTOR_MAX} words`)
  return read instanceof Uint32Array
    ? Uint32Array.of(...(before as Uint32Array), ...read)
    : BigUint64Array.of(...(before as BigUint64Array), ...read)
}

function keep(source: Source, plan: Plan, slot: Slot, into: unknown[], value: unknown): void {
  if (itemsLeft-- === 0) throw bad(source, plan, slot, `more than ${ITEMS_MAX} repeated values`)
  into.push(value)
}

function readVarint(source: Source, plan: Plan, slot: Slot | undefined, end: number): void {
  const bytes = source.bytes
  let at = source.at
  if (at < end && bytes[at]! < 0x80) {
    low = bytes[at]!
    high = 0
    source.at = at + 1
    return
  }
  low = 0
  high = 0
  for (let i = 0; i < 10; i++) {
    if (at >= end) throw bad(source, plan, slot, 'a number is cut short')
    const byte = bytes[at++]!
    const seven = byte & 0x7f
    if (i < 4) low |= seven << (7 * i)
    else if (i === 4) {
      low |= seven << 28
      high = seven >>> 4
    } else high |= seven << (7 * i - 32)
    if (byte < 0x80) {
      source.at = at
      return
    }
  }
  throw bad(source, plan, slot, 'a number is longer than ten bytes')
}

function readLength(source: Source, plan: Plan, slot: Slot | undefined, end: number): number {
  readVarint(source, plan, slot, end)
  const length = low >>> 0
  if (high !== 0 || length > end - source.at)
    throw bad(source, plan, slot, `a length of ${unsigned()} passes the end, ${end - source.at} bytes on`)
  return length
}

/** The varint read last, as an unsigned 64-bit number. */
function unsigned(): bigint {
  const upper = high >>> 0
  if (upper < 0x20_0000) return BigInt(upper * TWO_32 + (low >>> 0))
  halves[0] = low
  halves[1] = upper
  return wide[0]!
}

export function readU32(bytes: Uint8Array, at: number): number {
  return (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0
}

function skip(source: Source, plan: Plan, wire: number, end: number): void {
  if (wire === VARINT) return readVarint(source, plan, undefined, end)
  if (wire !== LENGTH && wire !== EIGHT_BYTES && wire !== FOUR_BYTES)
    throw bad(source, plan, undefined, `wire type ${wire} is not used in images`)
  const length = wire === LENGTH ? readLength(source, plan, undefined, end) : wire === EIGHT_BYTES ? 8 : 4
  if (length > end - source.at) throw bad(source, plan, undefined, 'an unknown field is cut short')
  source.at += length
}

/** The bytes between pairs of positions, joined. */
function gather(bytes: Uint8Array, ranges: readonly number[]): Uint8Array {
  let size = 0
  for (let i = 0; i < ranges.length; i += 2) size += ranges[i + 1]! - ranges[i]!
  const joined = new Uint8Array(size)
  let at = 0
  for (let i = 0; i < ranges.length; i += 2) {
    joined.set(bytes.subarray(ranges[i], ranges[i + 1]), at)
    at += ranges[i + 1]! - ranges[i]!
  }
  return joined
}

function bad(source: Source, plan: Plan, slot: Slot | undefined, problem: string): BardoError {
  const place = slot === undefined ? plan.message.name : `${plan.message.name}.${slot.name}`
  return new BardoError('bad-image', `cannot decode ${place}: ${problem}`, {
    where: `byte ${source.at} of the entry`,
    why: 'the image is damaged, or was written with another schema',
    hint: 'take a whole copy of the image, or dump again',
  })
}
