// The modes that a program has put a terminal emulator into by escape sequences: alternate screen, mouse, pasting, keys. The
// kernel knows nothing of them. Who leaves a program that runs on takes them back, and who shows it again sets them again
// (ECMA-48; XTerm Control Sequences; the keyboard protocol of kitty).

const ESC = 0x1b
/** More than any sequence of modes has: what is longer is something else. */
const LENGTH_MAX = 64
const MODES_MAX = 64
/** Autowrap and the cursor are on in a fresh emulator; all other private modes are off. */
const ON_AT_FIRST: ReadonlySet<number> = new Set([7, 25])
/** Final bytes of control sequences. */
const [FINAL_FIRST, FINAL_LAST] = [0x40, 0x7e]

export class Modes {
  /** DECSET and DECRST: those that are not as at first, in the order of their setting. */
  readonly #changed = new Set<number>()
  #keypad = false
  /** XTMODKEYS 4; undefined for the emulator's own. */
  #modifyOtherKeys: number | undefined
  /** Flags that were pushed (kitty). */
  #keyboard: number[] = []
  /** A sequence whose end has not come yet. */
  #begun = ''

  /** Takes note of what was written to the terminal, whatever it is cut into. */
  note(output: Uint8Array): void {
    for (let at = 0; at < output.length; at++) {
      const byte = output[at]!
      if (byte === ESC) this.#begun = '\x1b'
      else if (this.#begun === '') {
        // Most of what is written is text.
        const next = output.indexOf(ESC, at)
        if (next < 0) return
        at = next - 1
      } else this.#goOn(byte)
    }
  }

  #goOn(byte: number): void {
    const char = String.fromCharCode(byte)
    if (this.#begun.length === 1) {
      if (char === '[') this.#begun = '\x1b['
      else {
        this.#begun = ''
        if (char === '=' || char === '>') this.#keypad = char === '='
        else if (char === 'c') this.#reset()
      }
      return
    }
    this.#begun += char
    if (byte >= FINAL_FIRST && byte <= FINAL_LAST) {
      this.#take(this.#begun.slice(2))
      this.#begun = ''
    } else if (this.#begun.length > LENGTH_MAX || byte < 0x20) this.#begun = ''
  }

  #take(sequence: string): void {
    const [, prefix, list, final] = /^([?<>=]?)([0-9;]*)([a-zA-Z])$/.exec(sequence) ?? []
    if (list === undefined) return
    const numbers = list.split(';').map(Number)
    if (prefix === '?' && (final === 'h' || final === 'l')) {
      for (const mode of numbers) {
        // Set again, it comes last.
        this.#changed.delete(mode)
        if ((final === 'h') !== ON_AT_FIRST.has(mode) && this.#changed.size < MODES_MAX) this.#changed.add(mode)
      }
    } else if (prefix === '>' && final === 'm' && numbers[0] === 4) this.#modifyOtherKeys = numbers[1]
    else if (prefix === '>' && final === 'u' && this.#keyboard.length < MODES_MAX) this.#keyboard.push(numbers[0]!)
    else if (prefix === '<' && final === 'u') this.#keyboard = this.#keyboard.slice(0, -Math.max(1, numbers[0]!))
  }

  #reset(): void {
    this.#changed.clear()
    this.#keypad = false
    this.#modifyOtherKeys = undefined
    this.#keyboard = []
  }

  /** What brings a fresh emulator into these modes. */
  get doing(): string {
    const set = [...this.#changed].map(mode => `\x1b[?${mode}${ON_AT_FIRST.has(mode) ? 'l' : 'h'}`)
    if (this.#keypad) set.push('\x1b=')
    if (this.#modifyOtherKeys !== undefined) set.push(`\x1b[>4;${this.#modifyOtherKeys}m`)
    return [...set, ...this.#keyboard.map(flags => `\x1b[>${flags}u`)].join('')
  }

  /** What brings an emulator out of them, its colours included. */
  get undoing(): string {
    const set: string[] = this.#keyboard.length > 0 ? [`\x1b[<${this.#keyboard.length}u`] : []
    if (this.#modifyOtherKeys !== undefined) set.push('\x1b[>4m')
    if (this.#keypad) set.push('\x1b>')
    const back = [...this.#changed].toReversed()
    set.push(...back.map(mode => `\x1b[?${mode}${ON_AT_FIRST.has(mode) ? 'h' : 'l'}`))
    return `${set.join('')}\x1b[m`
  }
}
