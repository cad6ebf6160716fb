// A place in the bytes of a /proc file, and the few moves that its parsers make.
// The parsers run inside the freeze, on files of megabytes: so bytes are scanned once, and a string is made only of
// what is kept. Each file has its grammar from the kernel, so what does not fit is never skipped over: it is an error
// with its offset.
import { textOf } from '../../base/bytes.ts'
import { BardoError } from '../../base/errors.ts'

const [NEWLINE, BACKSLASH, MINUS, ZERO, NINE] = [0x0a, 0x5c, 0x2d, 0x30, 0x39]

/** Up to this many decimal digits a number is below 2^53 for certain. */
const SAFE_DIGITS = 15
const HEX_DIGITS_MAX = 16
const OCTAL_DIGITS_MAX = 17
const U64_MAX = 0xffff_ffff_ffff_ffffn

export class Cursor {
  readonly bytes: Uint8Array
  readonly file: string
  at = 0

  /** `file` names the file in errors, such as `maps`. */
  constructor(bytes: Uint8Array, file: string) {
    this.bytes = bytes
    this.file = file
  }

  get atEnd(): boolean {
    return this.at >= this.bytes.length
  }

  /** The next byte, -1 at the end of the file. */
  get next(): number {
    return this.at < this.bytes.length ? this.bytes[this.at]! : -1
  }

  /** Throws a BardoError `bug` that names the file, the offset and what was wanted there. */
  fail(expected: string, at = this.at): never {
    const found =
      at < this.bytes.length ? `byte 0x${this.bytes[at]!.toString(16).padStart(2, '0')}` : 'the end of the file'
    throw new BardoError('bug', `cannot parse ${this.file} of /proc`, {
      where: `${this.file}, byte ${at} of ${this.bytes.length}`,
      why: `expected ${expected}, found ${found}`,
      hint: 'this kernel writes the file in a way we do not know: please report it with its text',
    })
  }

  /** Passes a run of `byte`, which may be empty. */
  skip(byte: number): void {
    while (this.at < this.bytes.length && this.bytes[this.at] === byte) this.at++
  }

  /** Passes `byte` if it is next; whether it was. */
  take(byte: number): boolean {
    if (this.next !== byte) return false
    this.at++
    return true
  }

  expect(byte: number): void {
    if (this.next !== byte) this.fail(byte === NEWLINE ? 'the end of the line' : `'${String.fromCharCode(byte)}'`)
    this.at++
  }

  /** Whether `text` (ASCII) is next. */
  startsWith(text: string): boolean {
    for (let i = 0; i < text.length; i++) if (this.bytes[this.at + i] !== text.charCodeAt(i)) return false
    return true
  }

  /** Passes `text` (ASCII), which must be next. */
  expectText(text: string): void {
    if (!this.startsWith(text)) this.fail(JSON.stringify(text))
    this.at += text.length
  }

  /** The offset of the newline that ends this line; a last line without one is a file that was cut short. */
  lineEnd(): number {
    const end = this.bytes.indexOf(NEWLINE, this.at)
    return end < 0 ? this.fail('the end of the line', this.bytes.length) : end
  }

  nextLine(): void {
    this.at = this.lineEnd() + 1
  }

  /** The offset of the next `byte` before `end`, or `end`. */
  find(byte: number, end: number): number {
    let i = this.at
    while (i < end && this.bytes[i] !== byte) i++
    return i
  }

  /** The lossless text of the bytes up to `end`, and goes there. */
  text(end: number): string {
    const text = textOf(this.bytes.subarray(this.at, end))
    this.at = end
    return text
  }

  /** An unsigned decimal number; refused from 2^53 on. */
  decimal(): number {
    const from = this.at
    const value = this.#decimal()
    return Number.isSafeInteger(value) ? value : this.fail('a number below 2^53', from)
  }

  /** A decimal number that may carry a minus sign; refused outside ±2^53. */
  signed(): number {
    // `0 -` and not a unary minus: a negative zero would not equal zero in a comparison of states.
    return this.take(MINUS) ? 0 - this.decimal() : this.decimal()
  }

  /** An unsigned decimal number of 64 bits. */
  decimal64(): bigint {
    const from = this.at
    const value = this.#decimal()
    if (Number.isSafeInteger(value)) return BigInt(value)
    const exact = BigInt(this.#ascii(from))
    return exact <= U64_MAX ? exact : this.fail('a number of 64 bits', from)
  }

  /** A signed decimal number of 64 bits. */
  signed64(): bigint {
    const from = this.at
    const value = this.take(MINUS) ? -this.decimal64() : this.decimal64()
    return BigInt.asIntN(64, value) === value ? value : this.fail('a signed number of 64 bits', from)
  }

  /** An unsigned decimal number of 64 bits: a number where that is exact, a bigint from 2^53 on. */
  decimalAny(): number | bigint {
    const from = this.at
    const value = this.#decimal()
    if (Number.isSafeInteger(value)) return value
    this.at = from
    return this.decimal64()
  }

  /**
   * A hexadecimal number of at most 16 digits, without `0x`. It is exact below 2^53, and also above
   * when it is a multiple of 4096: those have 52 bits that matter, whatever their size.
   */
  hex(): number {
    const { bytes } = this
    const from = this.at
    let at = from
    let value = 0
    for (; at < bytes.length; at++) {
      const digit = hexDigit(bytes[at]!)
      if (digit < 0) break
      value = value * 16 + digit
    }
    this.at = at
    if (at === from) this.fail('a hexadecimal number')
    return at - from <= HEX_DIGITS_MAX ? value : this.fail(`at most ${HEX_DIGITS_MAX} hexadecimal digits`, from)
  }

  /** A hexadecimal number of 64 bits, without `0x`. */
  hex64(): bigint {
    const from = this.at
    const value = this.hex()
    return Number.isSafeInteger(value) ? BigInt(value) : BigInt(`0x${this.#ascii(from)}`)
  }

  /** An unsigned octal number; refused from 2^51 on. */
  octal(): number {
    const from = this.at
    let value = 0
    while (this.next >= ZERO && this.next < ZERO + 8) {
      value = value * 8 + (this.next - ZERO)
      this.at++
    }
    if (this.at === from) this.fail('an octal number')
    return this.at - from <= OCTAL_DIGITS_MAX ? value : this.fail(`at most ${OCTAL_DIGITS_MAX} octal digits`, from)
  }

  /** Digits as a double, exact only if the result is a safe integer. */
  #decimal(): number {
    const { bytes } = this
    const from = this.at
    let at = from
    let value = 0
    for (; at < bytes.length; at++) {
      const byte = bytes[at]!
      if (byte < ZERO || byte > NINE) break
      // The digit on its own: with `+ byte - ZERO` the sum would pass 2^53, and round, before the value does.
      value = value * 10 + (byte - ZERO)
    }
    this.at = at
    if (at === from) this.fail('a decimal number')
    // A u64 has 20 digits; leading zeros are never printed, so more of them is no number of the kernel's.
    if (at - from > 20) this.fail('a number of 64 bits', from)
    // Above 2^53 rounding could land on a safe integer only from 16 digits on.
    return at - from <= SAFE_DIGITS ? value : value <= Number.MAX_SAFE_INTEGER ? value : Number.POSITIVE_INFINITY
  }

  #ascii(from: number): string {
    return String.fromCharCode(...this.bytes.subarray(from, this.at))
  }
}

function hexDigit(byte: number): number {
  if (byte >= ZERO && byte <= NINE) return byte - ZERO
  // The kernel prints lower case; capitals here would be another format.
  return byte >= 0x61 && byte <= 0x66 ? byte - 0x57 : -1
}

/**
 * The text of `bytes` from `from` to `end` with octal escapes (`\040`) undone, as mangle_path and seq_escape of
 * fs/seq_file.c write them. `only` limits that to one byte's escape, for files where a backslash is not escaped itself.
 */
export function unescapeOctal(bytes: Uint8Array, from: number, end: number, only = -1): string {
  const out = new Uint8Array(end - from)
  let used = 0
  let at = from
  while (at < end) {
    const value = bytes[at] === BACKSLASH && at + 3 < end ? octalTriple(bytes, at + 1) : -1
    const undone = value >= 0 && (only < 0 || value === only)
    out[used++] = undone ? value : bytes[at]!
    at += undone ? 4 : 1
  }
  return textOf(out.subarray(0, used))
}

function octalTriple(bytes: Uint8Array, at: number): number {
  let value = 0
  for (let i = at; i < at + 3; i++) {
    const digit = bytes[i]! - ZERO
    if (digit < 0 || digit > 7) return -1
    value = value * 8 + digit
  }
  return value <= 0xff ? value : -1
}

/** The names that lead the lines of a file (`VmRSS: …`), found by their bytes and without making a string. */
export class Keys {
  readonly #names: Uint8Array[]
  readonly #byHash = new Map<number, number>()

  constructor(names: readonly string[]) {
    this.#names = names.map(name => new TextEncoder().encode(name))
    for (const [index, name] of this.#names.entries()) {
      const hash = hashOf(name, 0, name.length)
      if (this.#byHash.has(hash)) throw new BardoError('bug', `two keys share one hash: ${names[index]}`)
      this.#byHash.set(hash, index)
    }
  }

  /** The index of the name that stands at `from` to `end`, -1 if it is none of them. */
  find(bytes: Uint8Array, from: number, end: number): number {
    const index = this.#byHash.get(hashOf(bytes, from, end))
    if (index === undefined) return -1
    const name = this.#names[index]!
    if (name.length !== end - from) return -1
    for (let i = 0; i < name.length; i++) if (name[i] !== bytes[from + i]) return -1
    return index
  }
}

function hashOf(bytes: Uint8Array, from: number, end: number): number {
  let hash = 0
  for (let i = from; i < end; i++) hash = (Math.imul(hash, 31) + bytes[i]!) | 0
  return hash
}
