// State to bytes. They are those of CRIU's C encoder: fields in the order of their numbers, required ones always,
// optional ones if set (also to zero), repeated ones unpacked, unknown ones at the end.
import { bytesOf } from '../base/bytes.ts'
import { BardoError } from '../base/errors.ts'
import { planOf, remember, ZERO_RUN, type Plan, type Slot, type Values } from './plan.ts'
import { unknownFields, type Fields, type Message, type State } from './words.ts'

const TWO_32 = 0x1_0000_0000
const U64_MAX = (1n << 64n) - 1n
const SAFE = BigInt(Number.MAX_SAFE_INTEGER)

// One 64-bit word and its halves, for bigints past 2^53.
const wide = new BigUint64Array(1)
const halves = new Uint32Array(wide.buffer)

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
  putMessage(sink, planOf(message), state)
  return sink.bytes.slice(0, sink.used)
}

/** `encode`, behind what the sink holds already. */
export function encodeInto<F extends Fields>(sink: Sink, message: Message<F>, state: NoInfer<State<Message<F>>>): void {
  putMessage(sink, planOf(message), state)
}

/** An entry as image files hold it: a u32 length, then the message. */
export function encodeEntry<F extends Fields>(
  sink: Sink,
  message: Message<F>,
  state: NoInfer<State<Message<F>>>,
): void {
  encodeEntries(sink, message, [state])
}

/** Many entries of one message: 131,072 of pagemap_entry take about 30 ms. */
export function encodeEntries<F extends Fields>(
  sink: Sink,
  message: Message<F>,
  states: Iterable<NoInfer<State<Message<F>>>>,
): void {
  const plan = planOf(message)
  for (const state of states) {
    sink.room(4)
    const at = sink.used
    sink.used += 4
    putMessage(sink, plan, state)
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
    if (slot.empty !== undefined) {
      if (slot.word === 'u32' ? !(value instanceof Uint32Array) : !(value instanceof BigUint64Array))
        throw wrong(plan, slot, 'must be a typed array')
      putVector(sink, slot, value as Uint32Array | BigUint64Array)
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
      return putInner(sink, slot, value as Values)
  }
}

const ZEROS = Buffer.alloc(ZERO_RUN * 8)

function putVector(sink: Sink, slot: Slot, values: Uint32Array | BigUint64Array): void {
  const { buffer, byteOffset, length, BYTES_PER_ELEMENT: size } = values
  const bytes = new Uint8Array(buffer, byteOffset, length * size)
  const words = new Uint32Array(buffer, byteOffset, (length * size) / 4)
  // A tag of one byte, and a number of at most ten.
  sink.room(11 * length)
  for (let index = 0; index < length;) {
    const at = index * size
    if (index + ZERO_RUN <= length && ZEROS.compare(bytes, at, at + ZERO_RUN * size, 0, ZERO_RUN * size) === 0) {
      sink.bytes.set(slot.zeros, sink.used)
      sink.used += slot.zeros.length
      index += ZERO_RUN
      continue
    }
    sink.bytes[sink.used++] = slot.tag
    if (size === 4) putVarint(sink, words[index]!, 0)
    else putVarint(sink, words[2 * index]!, words[2 * index + 1]!)
    index++
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

function putInner(sink: Sink, slot: Slot, state: Values): void {
  const known = slot.met?.find(met => met.state === state)
  if (known !== undefined) {
    putVarint(sink, known.bytes.length, 0)
    return sink.append(known.bytes)
  }
  // Most inner messages are shorter than 128 bytes, so their length takes one byte; a longer one is moved.
  const at = sink.used++
  putMessage(sink, planOf(slot.inner!), state)
  const length = sink.used - at - 1
  if (slot.met !== undefined) remember(slot.met, state, sink.bytes.slice(at + 1, at + 1 + length))
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
  const shown = typeof value === 'number' || typeof value === 'bigint' ? `${typeof value} ${value}` : typeof value
  return wrong(plan, slot, `holds ${slot.word}, not ${shown}`)
}
