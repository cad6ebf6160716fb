// A schema as the loops of the codec want it: fields in order, found by number, with what each looks like on the wire.
import { type Message, type Word } from './words.ts'

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
}

export interface Plan {
  readonly message: Message
  /** By number, rising. */
  readonly slots: readonly Slot[]
  readonly byNumber: ReadonlyMap<number, Slot>
  readonly required: readonly Slot[]
  readonly repeated: readonly Slot[]
}

const plans = new WeakMap<Message, Plan>()

export function planOf(message: Message): Plan {
  const known = plans.get(message)
  if (known !== undefined) return known
  const slots = Object.entries(message.fields)
    .map(([name, field]): Slot => {
      const wire = wireOf(field.word)
      return {
        name,
        number: field.number,
        word: field.word,
        wire,
        tag: field.number * 8 + wire,
        required: field.label === 'required',
        repeated: field.label === 'repeated',
        inner: field.word === 'message' ? (field.message ?? message) : undefined,
      }
    })
    .toSorted((a, b) => a.number - b.number)
  const plan: Plan = {
    message,
    slots,
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
