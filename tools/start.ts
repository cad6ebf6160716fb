// Gives an executable variables of its environment that stand before its runtime has started, and a working directory
// where its own has been deleted, in which the runtime refuses to start.
//
// JavaScriptCore takes its options from variables BUN_JSC_* and from nowhere else, before our first line runs; and
// starting a second time with them would cost the start twice. So the executable's entry point is moved to code that
// calls setenv(3) for each variable and then goes on to the entry that was there. The code lies in a page behind the end
// of the file, which the program header of the build's notes (PT_NOTE, which nothing needs at run time) is made to load.
// Formats: elf(5); the state at the entry: System V ABI, AMD64 supplement, 3.4.1.
import { closeSync, fstatSync, openSync, readSync, writeSync } from 'node:fs'

const PT_LOAD = 1
const PT_DYNAMIC = 2
const PT_NOTE = 4
const PF_X = 1
const PF_R = 4
const DT_PLTRELSZ = 2
const DT_STRTAB = 5
const DT_SYMTAB = 6
const DT_JMPREL = 23
const ET_EXEC = 2
const PAGE = 0x1000

const E_ENTRY = 24
const SYMBOL_SIZE = 24
const RELOCATION_SIZE = 24

type Segment = { at: number; type: number; offset: number; address: number; fileSize: number; memorySize: number }

class Elf {
  readonly #fd: number
  readonly segments: readonly Segment[]
  readonly entry: number

  constructor(fd: number) {
    this.#fd = fd
    const header = this.read(0, 64)
    if (
      header.getUint32(0) !== 0x7f454c46 ||
      header.getUint16(16, true) !== ET_EXEC ||
      header.getUint16(18, true) !== 62
    )
      throw new Error('not an x86-64 executable at a fixed address')
    this.entry = this.#word(header, E_ENTRY)
    const [table, size, count] = [this.#word(header, 32), header.getUint16(54, true), header.getUint16(56, true)]
    const headers = this.read(table, size * count)
    this.segments = Array.from({ length: count }, (_, index) => {
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

  read(offset: number, length: number): DataView {
    const bytes = new Uint8Array(length)
    if (readSync(this.#fd, bytes, 0, length, offset) !== length) throw new Error('the executable is cut short')
    return new DataView(bytes.buffer)
  }

  #word(view: DataView, at: number): number {
    return Number(view.getBigUint64(at, true))
  }

  segment(type: number): Segment {
    const found = this.segments.find(segment => segment.type === type)
    if (found === undefined) throw new Error(`the executable has no segment of type ${type}`)
    return found
  }

  #offsetOf(address: number): number {
    const holds = ({ type, address: start, fileSize }: Segment): boolean =>
      type === PT_LOAD && start <= address && address < start + fileSize
    const segment = this.segments.find(holds)
    if (segment === undefined) throw new Error(`address ${address} is in no segment`)
    return segment.offset + address - segment.address
  }

  /** The address of the word through which the executable calls the imported function `name`. */
  importOf(name: string): number {
    const dynamic = this.segment(PT_DYNAMIC)
    const tags = new Map<number, number>()
    const view = this.read(dynamic.offset, dynamic.fileSize)
    for (let at = 0; at < dynamic.fileSize; at += 16) tags.set(this.#word(view, at), this.#word(view, at + 8))
    const [strings, symbols] = [this.#offsetOf(tags.get(DT_STRTAB)!), this.#offsetOf(tags.get(DT_SYMTAB)!)]
    const size = tags.get(DT_PLTRELSZ)!
    const relocations = this.read(this.#offsetOf(tags.get(DT_JMPREL)!), size)
    const wanted = new TextEncoder().encode(`${name}\0`)
    for (let at = 0; at < size; at += RELOCATION_SIZE) {
      const symbol = relocations.getUint32(at + 12, true)
      const string = strings + this.read(symbols + symbol * SYMBOL_SIZE, 4).getUint32(0, true)
      const found = new Uint8Array(this.read(string, wanted.length).buffer)
      if (Buffer.compare(found, wanted) === 0) return this.#word(relocations, at)
    }
    throw new Error(`the executable does not import ${name}`)
  }
}

const [NR_GETCWD, NR_CHDIR] = [79, 80]
const ENOENT = 2
const PATH_MAX = 4096

/**
 * A page for `address`: strings, and from `start` on code that sets the variables which are not set yet, goes to
 * `directory` where there is no working directory any more, and jumps to `entry`.
 */
function startPage(
  address: number,
  elf: { readonly entry: number; readonly setenv: number },
  { variables, directory }: Start,
): { readonly bytes: Uint8Array; readonly start: number } {
  const strings: number[] = []
  const put = (text: string): number => {
    const at = address + strings.length
    strings.push(...new TextEncoder().encode(text), 0)
    return at
  }
  const word = (value: number): number[] => [...new Uint8Array(Int32Array.of(value).buffer)]
  const named = Object.entries(variables).map(([name, value]) => [put(name), put(value)] as const)
  const gone = put(directory)
  const start = strings.length
  const code = [
    // rdx is what the C library is to call at the end (rtld_fini). Twice: the stack stays aligned to 16 at calls.
    [0x52, 0x52], // push rdx, push rdx
    ...named.flatMap(([name, value]) => [
      [0xbf, ...word(name)], // mov edi, name
      [0xbe, ...word(value)], // mov esi, value
      [0x31, 0xd2], // xor edx, edx: what the user has set stays
      [0xff, 0x14, 0x25, ...word(elf.setenv)], // call [setenv]
    ]),
    [0x48, 0x81, 0xec, ...word(PATH_MAX)], // sub rsp, PATH_MAX
    [0x48, 0x89, 0xe7], // mov rdi, rsp
    [0xbe, ...word(PATH_MAX)], // mov esi, PATH_MAX
    [0xb8, ...word(NR_GETCWD)], // mov eax, getcwd
    [0x0f, 0x05], // syscall
    [0x48, 0x81, 0xc4, ...word(PATH_MAX)], // add rsp, PATH_MAX
    [0x83, 0xf8, 0x100 - ENOENT], // cmp eax, -ENOENT
    [0x75, 0x0c], // jne on
    [0xbf, ...word(gone)], // mov edi, directory
    [0xb8, ...word(NR_CHDIR)], // mov eax, chdir
    [0x0f, 0x05], // syscall
    [0x5a, 0x5a], // on: pop rdx, pop rdx
  ].flat()
  const behind = address + start + code.length + 5
  code.push(0xe9, ...word(elf.entry - behind)) // jmp entry
  return { bytes: Uint8Array.from([...strings, ...code]), start }
}

/** What is done before the first line of an executable. */
export type Start = {
  readonly variables: Readonly<Record<string, string>>
  /** Where it goes if its working directory has been deleted. */
  readonly directory: string
}

/** Changes the executable at `path`, which nothing may be running. Throws if it is not built as expected. */
export function setStart(path: string, start: Start): void {
  const fd = openSync(path, 'r+')
  try {
    const elf = new Elf(fd)
    const note = elf.segment(PT_NOTE)
    const top = Math.max(
      ...elf.segments.filter(({ type }) => type === PT_LOAD).map(one => one.address + one.memorySize),
    )
    const offset = Math.ceil(fstatSync(fd).size / PAGE) * PAGE
    const address = Math.ceil(top / PAGE + 1) * PAGE
    const { bytes, start: at } = startPage(address, { entry: elf.entry, setenv: elf.importOf('setenv') }, start)
    if (bytes.length > PAGE || address + PAGE > 0x7fff_ffff) throw new Error('the code for the start finds no room')
    const page = new Uint8Array(PAGE)
    page.set(bytes)
    writeSync(fd, page, 0, PAGE, offset)
    const header = new DataView(new ArrayBuffer(56))
    header.setUint32(0, PT_LOAD, true)
    header.setUint32(4, PF_R | PF_X, true)
    for (const [index, value] of [offset, address, address, PAGE, PAGE, PAGE].entries())
      header.setBigUint64(8 + 8 * index, BigInt(value), true)
    writeSync(fd, new Uint8Array(header.buffer), 0, 56, note.at)
    writeSync(fd, new Uint8Array(BigUint64Array.of(BigInt(address + at)).buffer), 0, 8, E_ENTRY)
  } finally {
    closeSync(fd)
  }
}
