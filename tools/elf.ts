// The parts of an executable that the build changes. Formats: elf(5); the state at the entry: System V ABI, AMD64
// supplement, 3.4.1.
import { closeSync, fstatSync, openSync, readSync, writeSync } from 'node:fs'

export const PT_LOAD = 1
const PT_DYNAMIC = 2
export const PT_NOTE = 4
const PF_X = 1
const PF_R = 4
const DT_PLTRELSZ = 2
const DT_STRTAB = 5
const DT_SYMTAB = 6
const DT_JMPREL = 23
const ET_EXEC = 2
const EM_X86_64 = 62
export const PAGE = 0x1000

const E_ENTRY = 24
const SYMBOL_SIZE = 24
const RELOCATION_SIZE = 24

type Segment = { at: number; type: number; offset: number; address: number; fileSize: number; memorySize: number }

const pagesUp = (bytes: number): number => Math.ceil(bytes / PAGE) * PAGE

/** An open executable, x86-64 and at a fixed address, which nothing may be running. `using` it closes it. */
export class Elf {
  readonly #fd: number
  readonly #segments: readonly Segment[]
  readonly entry: number

  /** Throws if it is of another form. */
  constructor(path: string) {
    this.#fd = openSync(path, 'r+')
    const header = this.#read(0, 64)
    if (
      header.getUint32(0) !== 0x7f454c46 ||
      header.getUint16(16, true) !== ET_EXEC ||
      header.getUint16(18, true) !== EM_X86_64
    ) {
      closeSync(this.#fd)
      throw new Error('not an x86-64 executable at a fixed address')
    }
    this.entry = this.#word(header, E_ENTRY)
    const [table, size, count] = [this.#word(header, 32), header.getUint16(54, true), header.getUint16(56, true)]
    const headers = this.#read(table, size * count)
    this.#segments = Array.from({ length: count }, (_, index) => {
      const at = index * size
      return {
        at: table + at,
        type: headers.getUint32(at, true),
        offset: this.#word(headers, at + 8),
        address: this.#word(headers, at + 16),
        fileSize: this.#word(headers, at + 32),
        memorySize: this.#word(headers, at + 40),
      }
    })
  }

  #read(offset: number, length: number): DataView {
    const bytes = new Uint8Array(length)
    if (readSync(this.#fd, bytes, 0, length, offset) !== length) throw new Error('the executable is cut short')
    return new DataView(bytes.buffer)
  }

  #word(view: DataView, at: number): number {
    return Number(view.getBigUint64(at, true))
  }

  #segment(type: number): Segment {
    const found = this.#segments.find(segment => segment.type === type)
    if (found === undefined) throw new Error(`the executable has no segment of type ${type}`)
    return found
  }

  #offsetOf(address: number): number {
    const holds = ({ type, address: start, fileSize }: Segment): boolean =>
      type === PT_LOAD && start <= address && address < start + fileSize
    const segment = this.#segments.find(holds)
    if (segment === undefined) throw new Error(`address ${address} is in no segment`)
    return segment.offset + address - segment.address
  }

  /** The address of the word through which the executable calls the imported function `name`. */
  importOf(name: string): number {
    const dynamic = this.#segment(PT_DYNAMIC)
    const tags = new Map<number, number>()
    const view = this.#read(dynamic.offset, dynamic.fileSize)
    for (let at = 0; at < dynamic.fileSize; at += 16) tags.set(this.#word(view, at), this.#word(view, at + 8))
    const [strings, symbols] = [this.#offsetOf(tags.get(DT_STRTAB)!), this.#offsetOf(tags.get(DT_SYMTAB)!)]
    const size = tags.get(DT_PLTRELSZ)!
    const relocations = this.#read(this.#offsetOf(tags.get(DT_JMPREL)!), size)
    const wanted = new TextEncoder().encode(`${name}\0`)
    for (let at = 0; at < size; at += RELOCATION_SIZE) {
      const symbol = relocations.getUint32(at + 12, true)
      const string = strings + this.#read(symbols + symbol * SYMBOL_SIZE, 4).getUint32(0, true)
      const found = new Uint8Array(this.#read(string, wanted.length).buffer)
      if (Buffer.compare(found, wanted) === 0) return this.#word(relocations, at)
    }
    throw new Error(`the executable does not import ${name}`)
  }

  /** Where code can be loaded: behind all that is, and a page further. */
  get room(): number {
    const loaded = this.#segments.filter(({ type }) => type === PT_LOAD)
    return pagesUp(Math.max(...loaded.map(one => one.address + one.memorySize))) + PAGE
  }

  /** Appends `bytes` to the file, from the beginning of a page on; where. */
  append(bytes: Uint8Array): number {
    const offset = pagesUp(fstatSync(this.#fd).size)
    for (let done = 0; done < bytes.length;)
      done += writeSync(this.#fd, bytes, done, bytes.length - done, offset + done)
    return offset
  }

  /**
   * Appends `bytes`, has them loaded at `address` instead of the build's notes (PT_NOTE, which nothing needs at run time),
   * and starts at `entry`.
   */
  startAt(address: number, bytes: Uint8Array, entry: number): void {
    const note = this.#segment(PT_NOTE)
    const whole = new Uint8Array(pagesUp(bytes.length))
    whole.set(bytes)
    const offset = this.append(whole)
    const header = new DataView(new ArrayBuffer(56))
    header.setUint32(0, PT_LOAD, true)
    header.setUint32(4, PF_R | PF_X, true)
    for (const [index, value] of [offset, address, address, whole.length, whole.length, PAGE].entries())
      header.setBigUint64(8 + 8 * index, BigInt(value), true)
    writeSync(this.#fd, new Uint8Array(header.buffer), 0, 56, note.at)
    writeSync(this.#fd, new Uint8Array(BigUint64Array.of(BigInt(entry)).buffer), 0, 8, E_ENTRY)
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd)
  }
}
