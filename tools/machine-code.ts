// Machine code with labels: instructions are bytes, and those that name a place end in 32 bits which are filled in at the end.

type Fix = { readonly at: number; readonly label: string; readonly relative: boolean }

/** Code and data for `address`, which is below 2^31. */
export class Code {
  readonly #address: number
  #bytes: number[] = []
  readonly #labels = new Map<string, number>()
  readonly #fixes: Fix[] = []

  constructor(address: number) {
    this.#address = address
  }

  /** An instruction, or data. */
  put(...bytes: (number | readonly number[])[]): this {
    for (const one of bytes) this.#bytes = this.#bytes.concat(one)
    return this
  }

  label(name: string): this {
    if (this.#labels.has(name)) throw new Error(`the label ${name} is there twice`)
    this.#labels.set(name, this.#bytes.length)
    return this
  }

  /** A jump or a call: `opcode`, and the way to `label`. */
  jump(opcode: readonly number[], label: string): this {
    return this.#fixed(opcode, label, true)
  }

  /** `opcode`, and the address of `label`. */
  refer(opcode: readonly number[], label: string): this {
    return this.#fixed(opcode, label, false)
  }

  #fixed(opcode: readonly number[], label: string, relative: boolean): this {
    this.put(opcode)
    this.#fixes.push({ at: this.#bytes.length, label, relative })
    return this.put(0, 0, 0, 0)
  }

  addressOf(label: string): number {
    const offset = this.#labels.get(label)
    if (offset === undefined) throw new Error(`there is no label ${label}`)
    return this.#address + offset
  }

  finish(): Uint8Array {
    const bytes = Uint8Array.from(this.#bytes)
    const view = new DataView(bytes.buffer)
    for (const { at, label, relative } of this.#fixes)
      view.setInt32(at, this.addressOf(label) - (relative ? this.#address + at + 4 : 0), true)
    return bytes
  }
}

/** A number as an instruction or a table has it. */
export const word32 = (value: number): number[] => [...new Uint8Array(Int32Array.of(value).buffer)]
export const word64 = (value: number | bigint): number[] => [
  ...new Uint8Array(BigInt64Array.of(BigInt.asIntN(64, BigInt(value))).buffer),
]
/** mov eax, nr; syscall */
export const systemCall = (nr: number): number[] => [0xb8, ...word32(nr), 0x0f, 0x05]
export const text = (value: string): number[] => [...new TextEncoder().encode(value), 0]
