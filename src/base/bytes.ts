// Kernel strings (paths, names, arguments) are bytes; in JavaScript they are strings that lose none of them.
// A byte that is no part of valid UTF-8 becomes one of U+DC80..U+DCFF, alone a lone surrogate that no valid UTF-8
// can produce. It is the way of Python's `surrogateescape`, so that text from either side means the same bytes.

// The mark at the start of a text is a character of the name like any other: `ignoreBOM` keeps it.
const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
const encoder = new TextEncoder()

const ESCAPE = 0xdc00
const [FIRST_ESCAPED, LAST_ESCAPED] = [0xdc80, 0xdcff]

/** Up to this length a loop over the bytes is faster than a call of the decoder. */
const SHORT = 24

/** The string of `bytes`, lossless: `bytesOf(textOf(bytes))` gives the same bytes, whatever they are. */
export function textOf(bytes: Uint8Array): string {
  if (bytes.length <= SHORT) {
    let text = ''
    let i = 0
    for (; i < bytes.length; i++) {
      const byte = bytes[i]!
      if (byte >= 0x80) break
      text += String.fromCharCode(byte)
    }
    if (i === bytes.length) return text
  }
  try {
    return strict.decode(bytes)
  } catch {
    return escaped(bytes)
  }
}

/**
 * The bytes of `text`: UTF-8, and a byte for each of U+DC80..U+DCFF that stands alone.
 * Throws a RangeError for any other lone surrogate, which `textOf` never makes.
 */
export function bytesOf(text: string): Uint8Array {
  return text.isWellFormed() ? encoder.encode(text) : unescaped(text)
}

function escaped(bytes: Uint8Array): string {
  const parts: string[] = []
  // Valid stretches go through the decoder whole; only what it would refuse is escaped byte by byte.
  let from = 0
  let i = 0
  while (i < bytes.length) {
    const length = sequenceAt(bytes, i)
    if (length > 0) {
      i += length
      continue
    }
    if (i > from) parts.push(strict.decode(bytes.subarray(from, i)))
    parts.push(String.fromCharCode(ESCAPE | bytes[i]!))
    i++
    from = i
  }
  if (i > from) parts.push(strict.decode(bytes.subarray(from, i)))
  return parts.join('')
}

/** The length of the valid UTF-8 sequence at `i`, 0 if there is none (Unicode, table 3-7). */
function sequenceAt(bytes: Uint8Array, i: number): number {
  const lead = bytes[i]!
  if (lead < 0x80) return 1
  if (lead < 0xc2 || lead > 0xf4) return 0
  const length = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4
  if (i + length > bytes.length) return 0
  // The second byte's range is narrower where it would give an overlong form, a surrogate, or more than U+10FFFF.
  const low = lead === 0xe0 ? 0xa0 : lead === 0xf0 ? 0x90 : 0x80
  const high = lead === 0xed ? 0x9f : lead === 0xf4 ? 0x8f : 0xbf
  const second = bytes[i + 1]!
  if (second < low || second > high) return 0
  for (let k = 2; k < length; k++) if ((bytes[i + k]! & 0xc0) !== 0x80) return 0
  return length
}

function unescaped(text: string): Uint8Array {
  // No character takes more than three bytes per UTF-16 unit.
  const out = new Uint8Array(text.length * 3)
  let used = 0
  let from = 0
  let i = 0
  while (i < text.length) {
    const code = text.codePointAt(i)!
    if (code < 0xd800 || code > 0xdfff) {
      i += code > 0xffff ? 2 : 1
      continue
    }
    if (code < FIRST_ESCAPED || code > LAST_ESCAPED)
      throw new RangeError(`U+${code.toString(16).toUpperCase()} alone, at ${i} of a text, stands for no byte`)
    used += encoder.encodeInto(text.slice(from, i), out.subarray(used)).written
    out[used++] = code - ESCAPE
    i++
    from = i
  }
  used += encoder.encodeInto(text.slice(from), out.subarray(used)).written
  return out.slice(0, used)
}
