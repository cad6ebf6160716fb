// What was written to a terminal and not yet read, and what one types to have the same again.
import type { tty_data_entry } from '../../image/messages/tty.ts'
import { DISABLED, isCanonical, VEOF, VEOL, VEOL2, type Termios } from './termios.ts'

/** A whole line of canonical mode: what one read gives. */
export type Line = {
  readonly bytes: Uint8Array
  /** It was ended by the character for the end of the file, which a read does not give. */
  readonly eof: boolean
}

/** Input that the other end has typed. Without canonical mode all that was processed is `rest`. */
export type Input = {
  readonly lines: readonly Line[]
  /** The line that is still being typed; the line discipline has processed it. */
  readonly rest: Uint8Array
  /** What waits in front of the line discipline, for which the buffer had no more room. */
  readonly unprocessed: Uint8Array
}

export const NO_INPUT: Input = { lines: [], rest: new Uint8Array(), unprocessed: new Uint8Array() }

/** What the buffer of a line discipline holds (N_TTY_BUF_SIZE less one). */
export const PROCESSED_MAX = 4095
/** All that one direction can hold: the buffer, and what waits in front of it. Found by trying; see queue.test.ts. */
export const QUEUE_MAX = 22528

const NEWLINE = 0x0a
const CTRL_D = 0x04

export const isEmpty = ({ lines, rest, unprocessed }: Input): boolean =>
  lines.length === 0 && rest.length === 0 && unprocessed.length === 0

export function joined(parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    all.set(part, at)
    at += part.length
  }
  return all
}

/** Whether a line that ends with `byte` was ended by it. */
export const endsLine = (termios: Termios, byte: number | undefined): boolean =>
  byte === NEWLINE ||
  (byte !== undefined && byte !== DISABLED && (byte === termios.c_cc[VEOL] || byte === termios.c_cc[VEOL2]))

/**
 * Tells what was processed from what was not yet: a buffer takes from what waits in front of it only when it was full,
 * so exactly the first bytes up to its size were in it. `lines` and `rest` are as they were read while nothing was special
 * but what ends lines; `eof` is the character that did so where a line says it.
 */
export function splitInput(lines: readonly Line[], rest: Uint8Array, eof: number): Input {
  const kept: Line[] = []
  let used = 0
  for (const [index, line] of lines.entries()) {
    const cells = line.bytes.length + (line.eof ? 1 : 0)
    if (used + cells > PROCESSED_MAX) {
      const typed = lines.slice(index).flatMap(one => (one.eof ? [one.bytes, Uint8Array.of(eof)] : [one.bytes]))
      const tail = joined([...typed, rest])
      return { lines: kept, rest: tail.slice(0, PROCESSED_MAX - used), unprocessed: tail.slice(PROCESSED_MAX - used) }
    }
    kept.push(line)
    used += cells
  }
  return { lines: kept, rest: rest.slice(0, PROCESSED_MAX - used), unprocessed: rest.slice(PROCESSED_MAX - used) }
}

/** As an image has it: CRIU types `data`, so a line that an end of file ended has that character behind it. */
export function inputEntry(tty_id: number, input: Input, termios: Termios): tty_data_entry {
  const eof = termios.c_cc[VEOF] === DISABLED ? CTRL_D : termios.c_cc[VEOF]!
  const [line_ends, eof_ends, parts]: [number[], number[], Uint8Array[]] = [[], [], []]
  let length = 0
  const add = (part: Uint8Array): void => {
    parts.push(part)
    length += part.length
  }
  for (const line of input.lines) {
    add(line.bytes)
    if (line.eof) add(Uint8Array.of(eof))
    line_ends.push(length)
    if (line.eof) eof_ends.push(length)
  }
  add(input.rest)
  const unprocessed = input.unprocessed.length > 0 ? { unprocessed: length } : {}
  add(input.unprocessed)
  return { tty_id, data: joined(parts), line_ends, eof_ends, ...unprocessed }
}

/** Reads an entry; `termios` are the settings under which it was queued. */
export function inputOfEntry(entry: tty_data_entry, termios: Termios): Input {
  const { data } = entry
  const processed = Math.min(entry.unprocessed ?? data.length, data.length)
  const unprocessed = data.slice(processed)
  if (!isCanonical(termios))
    return {
      ...splitInput([], data.slice(0, processed), DISABLED),
      unprocessed: joined([data.slice(PROCESSED_MAX, processed), unprocessed]),
    }
  const ends =
    entry.line_ends.length > 0 || entry.unprocessed !== undefined ? entry.line_ends : endsFoundIn(data, termios)
  const eofs = new Set(entry.eof_ends)
  const lines: Line[] = []
  let from = 0
  for (const end of ends) {
    // An image may hold anything: what is out of order or beyond the data ends no line.
    if (end <= from || end > processed) continue
    const eof = eofs.has(end)
    lines.push({ bytes: data.slice(from, eof ? end - 1 : end), eof })
    from = end
  }
  return { lines, rest: data.slice(from, processed), unprocessed }
}

/** CRIU saves whole lines, one behind the other, as they were read. */
function endsFoundIn(data: Uint8Array, termios: Termios): number[] {
  const ends: number[] = []
  for (const [index, byte] of data.entries()) if (endsLine(termios, byte)) ends.push(index + 1)
  return ends
}

/** A piece of typing that the line discipline takes as it is, with the characters that are not in it. */
export type Typing = {
  readonly bytes: Uint8Array
  readonly special: Special
  /** It leaves room for the character that tells that all of it was processed. */
  readonly hasRoom: boolean
}

/** The control characters while one types. `quote` makes the next character an ordinary one. */
export type Special = { readonly stop: number; readonly start: number; readonly quote: number; readonly eof: number }

/** How many bytes the buffer may have for one more character to be processed, and for the next to be seen. */
const TYPED_MAX = PROCESSED_MAX - 3

/**
 * What has to be typed for `input` to be there again, and what must be typed later as if by hand: what no line
 * discipline had processed, or a new one has no room for.
 */
export function typingOf(
  input: Input,
  termios: Termios,
): { readonly typing: readonly Typing[]; readonly byHand: Uint8Array } {
  return isCanonical(termios) ? typeLines(input, termios) : typeBytes(input)
}

function typeLines(input: Input, termios: Termios): { typing: Typing[]; byHand: Uint8Array } {
  const ends = [NEWLINE, termios.c_cc[VEOL]!, termios.c_cc[VEOL2]!]
  const [stop, start, quote, eof] = unusedBytes(new Set(ends), [0x13, 0x11, 0x16, CTRL_D]) as [
    number,
    number,
    number,
    number,
  ]
  const special: Special = { stop, start, quote, eof }
  const quoted = new Set([...ends.filter(byte => byte !== DISABLED), stop, start, quote, eof])
  const [early, late, byHand]: [number[], number[], number[]] = [[], [], []]
  let cells = 0
  const put = (byte: number, isSpecial: boolean, later = [byte]): void => {
    const to = cells < TYPED_MAX ? early : cells < PROCESSED_MAX ? late : undefined
    cells++
    if (to === undefined) byHand.push(...later)
    else if (!isSpecial && quoted.has(byte)) to.push(quote, byte)
    else to.push(byte)
  }
  const ownEof = termios.c_cc[VEOF]!
  for (const { bytes, eof: ended } of input.lines) {
    for (const byte of ended ? bytes : bytes.subarray(0, -1)) put(byte, false)
    if (ended) put(eof, true, ownEof === DISABLED ? [] : [ownEof])
    else put(bytes[bytes.length - 1]!, true)
  }
  for (const byte of input.rest) put(byte, false)
  const typing = [
    { bytes: Uint8Array.from(early), special, hasRoom: true },
    { bytes: Uint8Array.from(late), special, hasRoom: false },
  ].filter(({ bytes }) => bytes.length > 0)
  return { typing, byHand: joined([Uint8Array.from(byHand), input.unprocessed]) }
}

/** Without canonical mode nothing can be quoted: so each piece lacks two bytes, which stop and start can be. */
function typeBytes({ rest, unprocessed }: Input): { typing: Typing[]; byHand: Uint8Array } {
  const typing: Typing[] = []
  const end = Math.min(rest.length, PROCESSED_MAX)
  for (let from = 0; from < end;) {
    const hasRoom = from < TYPED_MAX
    const last = hasRoom ? Math.min(end, TYPED_MAX) : end
    const present = new Set<number>([DISABLED])
    let to = from
    while (to < last && (present.has(rest[to]!) || present.size < 0x100 - 2)) present.add(rest[to++]!)
    const [stop, start] = unusedBytes(present, [0x13, 0x11]) as [number, number]
    const special = { stop, start, quote: DISABLED, eof: DISABLED }
    typing.push({ bytes: rest.slice(from, to), special, hasRoom })
    from = to
  }
  return { typing, byHand: joined([rest.subarray(end), unprocessed]) }
}

/** As many bytes as `wished`, none of which is in `used`: those wished for where they are free. */
function unusedBytes(used: ReadonlySet<number>, wished: readonly number[]): number[] {
  const taken = new Set([DISABLED, ...used])
  return wished.map(wish => {
    let byte = wish
    while (taken.has(byte)) byte = (byte + 1) & 0xff
    taken.add(byte)
    return byte
  })
}
