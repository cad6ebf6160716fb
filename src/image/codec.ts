// Schema and state to bytes and back. The bytes are those of CRIU's C encoder: fields in the order of their numbers,
// required ones always, optional ones if set (also to zero), repeated ones unpacked, unknown ones at the end.
// An image is hostile input: every length is held against what is there before it is used, and depth is bounded.
import { bytesOf, textOf } from '../base/bytes.ts'
import { BardoError } from '../base/errors.ts'
import { unknownFields, type Fields, type Message, type State, type Word } from './words.ts'

/** How deep messages may nest. CRIU's deepest is a tree of cgroup directories. */
const DEPTH_MAX = 100

const [VARINT, EIGHT_BYTES, LENGTH, FOUR_BYTES] = [0, 1, 2, 5]

const TWO_32 = 0x1_0000_0000
const U64_MAX = (1n << 64n) - 1n
const SAFE = BigInt(Number.MAX_SAFE_INTEGER)

// One 64-bit word and its halves, for bigints past 2^53.
const wide = new BigUint64Array(1)
const halves = new Uint32Array(wide.buffer)

type Values = Record<string | symbol, unknown>

/** A field as the loops want it. */
interface Slot {
  readonly name: string
  readonly number: number
  readonly word: Word
  readonly required: boolean
  readonly repeated: boolean
  readonly wire: number
  readonly tag: number
  readonly inner: Message | undefined
}

interface Plan {
  readonly message: Message
  /** By number, rising. */
  readonly slots: readonly Slot[]
  readonly byNumber: ReadonlyMap<number, Slot>
  readonly required: readonly Slot[]
  readonly repeated: readonly Slot[]
}

const plans = new WeakMap<Message, Plan>()

function planOf(message: Message): Plan {
  const known = plans.get(message)
  if (known !== undefined) return known
  const slots = Object.entries(message.fields)
    .map(([name, field]): Slot => {
      const wire = wireOf(field.word)
      return {
        name, number: field.number, word: field.word, wire, tag: field.number * 8 + wire,
        required: field.label === 'required', repeated: field.label === 'repeated',
        inner: field.word === 'message' ? (field.message ?? message) : undefined,
      }
    })
    .toSorted((a, b) => a.number - b.number)
  const plan: Plan = {
    message, slots,
    byNumber: new Map(slots.map(slot => [slot.number, slot])),
    required: slots.filter(slot => slot.required),
    repeated: slots.filter(slot => slot.repeated),
  }
  plans.set(message, plan)
  return plan
}

function wireOf(word: Word): number {
  if (word === 'bytes' || word === 'text' || word === 'message') return LENGTH
  return word === 'fixed64' ? EIGHT_BYTES : VARINT
}

/** A buffer that grows: many messages go into one. `written()` is a view, good until the next write. */
export class Sink {
  bytes: Uint8Array
  used = 0

  constructor(size = 256) {
    this.bytes = new Uint8Array(size)
  }

  /** Makes sure that `more` bytes fit behind `used`. */
  room(more: number): void {
    const needed = this.used + more
    if (needed <= this.bytes.length) return
    const grown = new Uint8Array(Math.max(needed, this.bytes.length * 2))
    grown.set(this.bytes.subarray(0, this.used))
    this.bytes = grown
  }

  u32(value: number): void {
    this.room(4)
    this.setU32(this.used, value)
    this.used += 4
  }

  /** Little endian, over bytes that were written before. */
  setU32(at: number, value: number): void {
    this.bytes[at] = value
    this.bytes[at + 1] = value >>> 8
    this.bytes[at + 2] = value >>> 16
    this.bytes[at + 3] = value >>> 24
  }

  append(data: Uint8Array): void {
    this.room(data.length)
    this.bytes.set(data, this.used)
    this.used += data.length
  }

  written(): Uint8Array {
    return this.bytes.subarray(0, this.used)
  }
}

/** The bytes of `state`. A state that the schema does not allow is a bug of the caller's, named by field. */
export function encode<F extends Fields>(message: Message<F>, state: NoInfer<State<Message<F>>>): Uint8Array {
  const sink = new Sink()
  putMessage(sink, planOf(message), state as Values)
  return sink.bytes.slice(0, sink.used)
}

/** `encode`, behind what the sink holds already. */
export function encodeInto<F extends Fields>(
  sink: Sink, message: Message<F>, state: NoInfer<State<Message<F>>>,
): void {
  putMessage(sink, planOf(message), state as Values)
}

/** An entry as image files hold it: a u32 length, then the message. */
export function encodeEntry<F extends Fields>(
  sink: Sink, message: Message<F>, state: NoInfer<State<Message<F>>>,
): void {
  encodeEntries(sink, message, [state])
}

/** Many entries of one message: 131,072 of pagemap_entry take about 30 ms. */
export function encodeEntries<F extends Fields>(
  sink: Sink, message: Message<F>, states: Iterable<NoInfer<State<Message<F>>>>,
): void {
  const plan = planOf(message)
  for (const state of states) {
    sink.room(4)
    const at = sink.used
    sink.used += 4
    putMessage(sink, plan, state as Values)
    sink.setU32(at, sink.used - at - 4)
  }
}

function putMessage(sink: Sink, plan: Plan, state: Values): void {
  for (const slot of plan.slots) {
    const value = state[slot.name]
    if (value === undefined) {
      if (slot.required) throw wrong(plan, slot, 'is required and was not given')
      continue
    }
    if (!slot.repeated) {
      putField(sink, plan, slot, value)
      continue
    }
    if (!Array.isArray(value)) throw wrong(plan, slot, 'must be an array')
    for (const one of value) putField(sink, plan, slot, one)
  }
  const unknown = state[unknownFields]
  if (unknown instanceof Uint8Array) sink.append(unknown)
}

function putField(sink: Sink, plan: Plan, slot: Slot, value: unknown): void {
  // A tag of at most five bytes, and a number of at most ten.
  sink.room(16)
  if (slot.tag < 0x80) sink.bytes[sink.used++] = slot.tag
  else putVarint(sink, slot.tag, 0)
  switch (slot.word) {
    case 'u32':
      if (typeof value !== 'number' || value >>> 0 !== value) throw misfit(plan, slot, value)
      return putVarint(sink, value, 0)
    case 'u64':
      if (typeof value !== 'bigint' || value < 0n || value > U64_MAX) throw misfit(plan, slot, value)
      return putWide(sink, value)
    case 'i32':
    case 'choice':
      if (typeof value !== 'number' || (value | 0) !== value) throw misfit(plan, slot, value)
      return putVarint(sink, value >>> 0, value < 0 ? 0xffff_ffff : 0)
    case 's32':
      if (typeof value !== 'number' || (value | 0) !== value) throw misfit(plan, slot, value)
      return putVarint(sink, ((value << 1) ^ (value >> 31)) >>> 0, 0)
    case 'i64':
      if (typeof value !== 'bigint' || BigInt.asIntN(64, value) !== value) throw misfit(plan, slot, value)
      return putWide(sink, BigInt.asUintN(64, value))
    case 's64':
      if (typeof value !== 'bigint' || BigInt.asIntN(64, value) !== value) throw misfit(plan, slot, value)
      return putWide(sink, BigInt.asUintN(64, (value << 1n) ^ (value >> 63n)))
    case 'fixed64':
      if (typeof value !== 'bigint' || value < 0n || value > U64_MAX) throw misfit(plan, slot, value)
      wide[0] = value
      sink.u32(halves[0]!)
      return sink.u32(halves[1]!)
    case 'bool':
      if (typeof value !== 'boolean') throw misfit(plan, slot, value)
      sink.bytes[sink.used++] = value ? 1 : 0
      return
    case 'bytes':
      if (!(value instanceof Uint8Array)) throw misfit(plan, slot, value)
      putVarint(sink, value.length, 0)
      return sink.append(value)
    case 'text':
      if (typeof value !== 'string') throw misfit(plan, slot, value)
      return putText(sink, value)
    case 'message':
      if (typeof value !== 'object' || value === null) throw misfit(plan, slot, value)
      return putInner(sink, planOf(slot.inner!), value as Values)
  }
}

/** The caller has made room for ten bytes. */
function putVarint(sink: Sink, low: number, high: number): void {
  const bytes = sink.bytes
  let at = sink.used
  while (high !== 0) {
    bytes[at++] = (low & 0x7f) | 0x80
    low = ((low >>> 7) | (high << 25)) >>> 0
    high >>>= 7
  }
  while (low > 0x7f) {
    bytes[at++] = (low & 0x7f) | 0x80
    low >>>= 7
  }
  bytes[at++] = low
  sink.used = at
}

function putWide(sink: Sink, value: bigint): void {
  if (value <= SAFE) {
    const number = Number(value)
    putVarint(sink, number >>> 0, Math.floor(number / TWO_32))
    return
  }
  wide[0] = value
  putVarint(sink, halves[0]!, halves[1]!)
}

function putText(sink: Sink, value: string): void {
  const start = sink.used
  sink.room(10 + value.length)
  putVarint(sink, value.length, 0)
  const bytes = sink.bytes
  let at = sink.used
  for (let i = 0; i < value.length; i++) {
    const code = value.charCodeAt(i)
    if (code > 0x7f) {
      const whole = bytesOf(value)
      sink.used = start
      putVarint(sink, whole.length, 0)
      return sink.append(whole)
    }
    bytes[at++] = code
  }
  sink.used = at
}

function putInner(sink: Sink, plan: Plan, state: Values): void {
  // Most inner messages are shorter than 128 bytes, so their length takes one byte; a longer one is moved.
  const at = sink.used++
  putMessage(sink, plan, state)
  const length = sink.used - at - 1
  if (length < 0x80) {
    sink.bytes[at] = length
    return
  }
  const extra = Math.floor(Math.log2(length) / 7)
  sink.room(extra + 10)
  sink.bytes.copyWithin(at + 1 + extra, at + 1, at + 1 + length)
  sink.used = at
  putVarint(sink, length, 0)
  sink.used += length
}

function wrong(plan: Plan, slot: Slot, problem: string): BardoError {
  return new BardoError('bug', `cannot encode ${plan.message.name}.${slot.name}: it ${problem}`)
}

function misfit(plan: Plan, slot: Slot, value: unknown): BardoError {
  const shown = typeof value === 'object' ? 'an object' : `${typeof value} ${String(value)}`
  return wrong(plan, slot, `holds ${slot.word}, not ${shown}`)
}

/**
 * The state in `bytes`. Fields that the schema does not know are kept under `unknownFields`.
 * Throws `bad-image` with message and field where a required field is missing, a number or length is cut short or
 * too long, a field has another wire type than its own, or messages nest deeper than 100.
 */
export function decode<F extends Fields>(message: Message<F>, bytes: Uint8Array): State<Message<F>> {
  return readMessage({ bytes, at: 0 }, planOf(message), bytes.length, 0) as State<Message<F>>
}

interface Source {
  readonly bytes: Uint8Array
  at: number
}

// The varint read last, in halves: returning them as an object would cost an allocation for each.
let low = 0
let high = 0

function readMessage(source: Source, plan: Plan, end: number, depth: number): Values {
  if (depth > DEPTH_MAX) throw bad(source, plan, undefined, `messages nest deeper than ${DEPTH_MAX}`)
  const state: Values = {}
  for (const slot of plan.repeated) state[slot.name] = []
  let unknown: number[] | undefined
  while (source.at < end) {
    const start = source.at
    readVarint(source, plan, undefined, end)
    const wire = low & 7
    const number = low >>> 3
    if (high !== 0 || number === 0) throw bad(source, plan, undefined, 'a field has no valid number')
    const slot = plan.byNumber.get(number)
    if (slot === undefined) {
      skip(source, plan, wire, end)
      unknown ??= []
      unknown.push(start, source.at)
    } else if (wire !== slot.wire) {
      if (wire !== LENGTH || !slot.repeated) throw bad(source, plan, slot, `wire type ${wire} does not hold ${slot.word}`)
      readPacked(source, plan, slot, state[slot.name] as unknown[], end)
    } else {
      const value = readField(source, plan, slot, end, depth)
      if (slot.repeated) (state[slot.name] as unknown[]).push(value)
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
      return readMessage(source, planOf(slot.inner!), source.at + length, depth + 1)
    }
  }
}

/** Other writers may pack repeated numbers into one field; readers take both forms. */
function readPacked(source: Source, plan: Plan, slot: Slot, into: unknown[], end: number): void {
  const length = readLength(source, plan, slot, end)
  const last = source.at + length
  while (source.at < last) into.push(readField(source, plan, slot, last, 0))
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

function gather(bytes: Uint8Array, ranges: readonly number[]): Uint8Array {
  const sink = new Sink()
  for (let i = 0; i < ranges.length; i += 2) sink.append(bytes.subarray(ranges[i], ranges[i + 1]))
  return sink.bytes.slice(0, sink.used)
}

function bad(source: Source, plan: Plan, slot: Slot | undefined, problem: string): BardoError {
  const place = slot === undefined ? plan.message.name : `${plan.message.name}.${slot.name}`
  return new BardoError('bad-image', `cannot decode ${place}: ${problem}`, {
    where: `byte ${source.at} of the entry`,
    why: 'the image is damaged, or was written with another schema',
  })
}
