// A schema as the loops of the codec want it: fields in order, found by number, with what each looks like on the wire.
import { type Field, type Message, type Word } from './words.ts'

/** Wire types (protobuf's encoding). */
export const [VARINT, EIGHT_BYTES, LENGTH, FOUR_BYTES] = [0, 1, 2, 5]

/** The values of a state, by field name; unknown fields by their symbol. */
export type Values = Record<string | symbol, unknown>

/** A field as the loops want it. */
export interface Slot {
  readonly name: string
  readonly number: number
  readonly word: Word
  readonly required: boolean
  readonly repeated: boolean
  readonly wire: number
  readonly tag: number
  readonly inner: Message | undefined
  /** Of messages that are often alike: those met last, the last one first; else undefined. */
  readonly met: Met[] | undefined
  /** Of a vector: its empty one. */
  readonly empty: Vector | undefined
  /** Of a vector: ZERO_RUN elements of zero as they are on the wire. */
  readonly zeros: Buffer
}

/** A state and its bytes. */
export type Met = { readonly state: unknown; readonly bytes: Uint8Array }
const MET_MAX = 4

/** Remembers what was met, in place of what was met longest ago. */
export function remember(met: Met[], state: unknown, bytes: Uint8Array): void {
  met.unshift({ state, bytes })
  if (met.length > MET_MAX) met.pop()
}

export type Vector = Uint32Array | BigUint64Array

/** Zeros that are looked for at once. */
export const ZERO_RUN = 32
const NOTHING = Buffer.alloc(0)

export interface Plan {
  readonly message: Message
  /** By number, rising. */
  readonly slots: readonly Slot[]
  /** Those with a number below DENSE_MAX, and the others. */
  readonly byNumber: readonly (Slot | undefined)[]
  readonly late: ReadonlyMap<number, Slot>
  readonly required: readonly Slot[]
  readonly repeated: readonly Slot[]
}

const DENSE_MAX = 128

const plans = new WeakMap<Message, Plan>()

export function planOf(message: Message): Plan {
  const known = plans.get(message)
  if (known !== undefined) return known
  const slots: Slot[] = []
  const byNumber: (Slot | undefined)[] = []
  const late = new Map<number, Slot>()
  const required: Slot[] = []
  const repeated: Slot[] = []
  let last = 0
  let rising = true
  const { fields } = message
  for (const name in fields) {
    const field = fields[name]!
    const slot = slotOf(name, field, message)
    slots.push(slot)
    rising &&= slot.number > last
    last = slot.number
    if (slot.number < DENSE_MAX) byNumber[slot.number] = slot
    else late.set(slot.number, slot)
    if (slot.required) required.push(slot)
    else if (slot.repeated) repeated.push(slot)
  }
  if (!rising) slots.sort((a, b) => a.number - b.number)
  const plan: Plan = { message, slots, byNumber, late, required, repeated }
  plans.set(message, plan)
  return plan
}

function slotOf(name: string, field: Field, message: Message): Slot {
  const { number, word, label } = field
  const wire = wireOf(word)
  const isVector = field.vector === true
  return {
    name,
    number,
    word,
    wire,
    tag: number * 8 + wire,
    required: label === 'required',
    repeated: label === 'repeated',
    inner: word === 'message' ? (field.message ?? message) : undefined,
    met: field.alike === true ? [] : undefined,
    empty: !isVector ? undefined : word === 'u32' ? new Uint32Array() : new BigUint64Array(),
    zeros: isVector ? zeroRun(number * 8 + wire) : NOTHING,
  }
}

function wireOf(word: Word): number {
  if (word === 'bytes' || word === 'text' || word === 'message') return LENGTH
  return word === 'fixed64' ? EIGHT_BYTES : VARINT
}

function zeroRun(tag: number): Buffer {
  if (tag > 0x7f) throw new RangeError('a vector has a field number from 1 to 15')
  const run = Buffer.alloc(2 * ZERO_RUN)
  for (let at = 0; at < run.length; at += 2) run[at] = tag
  return run
}
