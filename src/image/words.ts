// The words that a schema is written in. A schema is a value: codec, printer and tests read it, and its type gives
// the type of the state that it describes.
//
//   export const winsize_entry = message('winsize_entry', { ws_row: u32(1), ws_col: u32(2) })
//   export type winsize_entry = State<typeof winsize_entry>     // { ws_row: number, ws_col: number }
//
// A field is required unless it says `optional(…)` or `repeated(…)`. Names, numbers and words of CRIU's messages are
// CRIU's; what we add is optional and numbered 1000 and up, so that CRIU still reads our images.

/** What a field holds on the wire. 64-bit words are bigints in state, `text` is lossless (base/bytes.ts). */
export type Word =
  | 'u32'
  | 'u64'
  | 'i32'
  | 'i64'
  | 's32'
  | 's64'
  | 'fixed64'
  | 'bool'
  | 'bytes'
  | 'text'
  | 'choice'
  | 'message'

export type Label = 'required' | 'optional' | 'repeated'

/** How `crit decode --pretty` prints a number or bytes; nothing else depends on it. */
export type Show =
  | { readonly as: 'hex' | 'ip' | 'unix_name' }
  | { readonly as: 'dev'; readonly old: boolean }
  | { readonly as: 'flags' | 'dict'; readonly table: string }

export const hex: Show = { as: 'hex' }
/** An IPv4 or IPv6 address, in words of network byte order. */
export const ip: Show = { as: 'ip' }
/** A socket name, whose first byte may be NUL. */
export const unixName: Show = { as: 'unix_name' }
/** A device number as the kernel keeps it: 20 bits of minor. */
export const dev: Show = { as: 'dev', old: false }
/** A device number as stat(2) gives it. */
export const statDev: Show = { as: 'dev', old: true }
export const flags = (table: string): Show => ({ as: 'flags', table })
export const dict = (table: string): Show => ({ as: 'dict', table })

// Exist in types only: what a field holds, and the mark of a field that holds its own message.
declare const holds: unique symbol
declare const itself: unique symbol
interface Itself {
  readonly [itself]: never
}

export interface Field<T = unknown, L extends Label = Label> {
  readonly number: number
  readonly word: Word
  readonly label: L
  readonly [holds]?: T
  /** The message of word `message`; absent where a message holds itself. */
  readonly message?: Message
  /** The names of word `choice`. */
  readonly values?: Enumeration
  readonly show?: Show
  /** A repeated field whose state is a typed array. */
  readonly vector?: true
  /** Threads mostly have equal ones: what was read or written last is kept, and serves again. */
  readonly alike?: true
  /** What CRIU takes an absent field for; state leaves it absent. */
  readonly default?: unknown
}

export type Fields = Readonly<Record<string, Field>>

export interface Message<F extends Fields = Fields> {
  readonly name: string
  readonly fields: F
}

/** Fields that a newer writer had and we do not know: their bytes, kept by `decode` and written back by `encode`. */
export const unknownFields: unique symbol = Symbol('unknown fields')

/** The state that a message describes. An optional field is absent when it was not in the image. */
export type State<M> = M extends Message<infer F> ? StateOf<F> : never

type StateOf<F extends Fields> = {
  -readonly [K in keyof F as F[K]['label'] extends 'optional' ? never : K]: Held<F[K], F>
} & {
  -readonly [K in keyof F as F[K]['label'] extends 'optional' ? K : never]?: Held<F[K], F> | undefined
} & { [unknownFields]?: Uint8Array }

type Held<T extends Field, F extends Fields> = T extends { vector: true }
  ? T extends Field<infer V>
    ? V
    : never
  : T extends Field<infer V, infer L>
    ? L extends 'repeated'
      ? One<V, F>[]
      : One<V, F>
    : never
// The tuples keep `boolean` whole: a bare conditional type would split it.
type One<V, F extends Fields> = [V] extends [Itself] ? StateOf<F> : V

/** `fields` may be a function: it is called when the message is first used, since a run uses few of all there are. */
export function message<const F extends Fields>(name: string, fields: F | (() => F)): Message<F> {
  if (typeof fields !== 'function') return { name, fields }
  let made: F | undefined
  return {
    name,
    get fields() {
      return (made ??= fields())
    },
  }
}

const enumerationName: unique symbol = Symbol('enumeration name')

export interface Enumeration {
  readonly [enumerationName]: string
}

/** Named values of one field: `fd_types.REG` is 1. State holds the number, so that unknown values survive. */
export function enumeration<const V extends Readonly<Record<string, number>>>(
  name: string,
  values: V,
): V & Enumeration {
  return { ...values, [enumerationName]: name }
}

/** The name of an enumeration itself, as CRIU has it. */
export const nameOfEnumeration = (values: Enumeration): string => values[enumerationName]

/** The name of a value, undefined if the enumeration has none for it. */
export function nameOfValue(values: Enumeration, value: number): string | undefined {
  for (const [name, known] of Object.entries(values)) if (known === value) return name
  return undefined
}

type Required<T> = Field<T, 'required'>

const field = <T>(number: number, word: Word, show?: Show): Required<T> =>
  show === undefined ? { number, word, label: 'required' } : { number, word, label: 'required', show }

export const u32 = (number: number, show?: Show): Required<number> => field(number, 'u32', show)
export const u64 = (number: number, show?: Show): Required<bigint> => field(number, 'u64', show)
/** Signed; a negative one takes ten bytes (proto `int32`). */
export const i32 = (number: number, show?: Show): Required<number> => field(number, 'i32', show)
export const i64 = (number: number, show?: Show): Required<bigint> => field(number, 'i64', show)
/** Signed, in zigzag form (proto `sint32`). */
export const s32 = (number: number, show?: Show): Required<number> => field(number, 's32', show)
export const s64 = (number: number, show?: Show): Required<bigint> => field(number, 's64', show)
/** Eight bytes, whatever the value. */
export const fixed64 = (number: number, show?: Show): Required<bigint> => field(number, 'fixed64', show)
export const bool = (number: number): Required<boolean> => field(number, 'bool')
export const bytes = (number: number, show?: Show): Required<Uint8Array> => field(number, 'bytes', show)
/** A kernel string: bytes, of any value, as a string that loses none (base/bytes.ts). */
export const text = (number: number): Required<string> => field(number, 'text')

/** One of named values; the state is the number. */
export const choice = (number: number, values: Enumeration): Required<number> => ({
  number,
  word: 'choice',
  label: 'required',
  values,
})

/** A message inside the message. */
export const inner = <F extends Fields>(number: number, of: Message<F>, show?: Show): Required<StateOf<F>> =>
  show === undefined
    ? { number, word: 'message', label: 'required', message: of }
    : { number, word: 'message', label: 'required', message: of, show }

/** The message that is being defined, inside itself: directories in directories. */
export const self = (number: number): Required<Itself> => ({ number, word: 'message', label: 'required' })

/** A field that may be absent; `standsFor` is what CRIU takes its absence for, where that is not zero. */
export const optional = <T>(of: Required<T>, standsFor?: NoInfer<T>): Field<T, 'optional'> =>
  standsFor === undefined ? { ...of, label: 'optional' } : { ...of, label: 'optional', default: standsFor }

/** A field that comes any number of times; its state is an array, empty when there is none. */
export const repeated = <T>(of: Required<T>): Field<T, 'repeated'> => ({ ...of, label: 'repeated' })

/**
 * A repeated field of 32- or 64-bit words, numbered 1 to 15, whose state is a typed array: the registers of a thread are
 * hundreds of words, most of them zeros, and many threads have them.
 */
export const vector = <W extends 'u32' | 'u64'>(
  number: number,
  word: W,
): Field<W extends 'u32' ? Uint32Array : BigUint64Array, 'repeated'> & { readonly vector: true } => ({
  number,
  word,
  label: 'repeated',
  vector: true,
})

/** Marks an inner message of which there are many equal ones. States that are equal may then be one object. */
export const alike = <T>(of: Required<T>): Required<T> => ({ ...of, alike: true })
