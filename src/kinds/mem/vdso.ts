// The vdso: a small ELF library of the kernel's, mapped into every process. A process carries addresses inside it (in
// the C library's tables, on stacks), so on another kernel, whose vdso has its functions elsewhere, those places must
// lead to the new ones.
import { BardoError } from '../../base/errors.ts'
import { NR } from '../../linux/nr.ts'

/** Exported functions by name: offsets from the start of the vdso. */
export type VdsoSymbols = ReadonlyMap<string, number>

const [PT_LOAD, PT_DYNAMIC] = [1, 2]
const [DT_NULL, DT_HASH, DT_STRTAB, DT_SYMTAB] = [0n, 4n, 5n, 6n]
const SYMBOL_SIZE = 24
const STT_FUNC = 2
const SYMBOLS_MAX = 4096

/** Bytes at the entry of an old function that are written over. */
const PATCH_SIZE = 12

/** Kernels have had vdsos of up to three pages: what is larger than this is none. */
export const VDSO_BYTES_MAX = 1 << 20

/**
 * Reads the dynamic symbols of a vdso as it lies in memory (elf(5)): by its dynamic section, since sections need not be
 * mapped. Throws `bad-image` on anything that is not a vdso; every offset is checked.
 */
export function parseVdso(bytes: Uint8Array): VdsoSymbols {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  try {
    if (view.getUint32(0) !== 0x7f454c46 || bytes[4] !== 2) throw new RangeError('no 64-bit ELF')
    const headers = Number(view.getBigUint64(32, true))
    const size = view.getUint16(54, true)
    const count = view.getUint16(56, true)
    let base = 0n
    let dynamic = -1
    for (let index = 0; index < count; index++) {
      const at = headers + index * size
      const type = view.getUint32(at, true)
      if (type === PT_LOAD) base = view.getBigUint64(at + 16, true) - view.getBigUint64(at + 8, true)
      else if (type === PT_DYNAMIC) dynamic = Number(view.getBigUint64(at + 8, true))
    }
    if (dynamic < 0) throw new RangeError('no dynamic section')
    const tables = new Map<bigint, number>()
    for (let at = dynamic; view.getBigUint64(at, true) !== DT_NULL; at += 16)
      tables.set(view.getBigUint64(at, true), Number(view.getBigUint64(at + 8, true) - base))
    return readSymbols(bytes, view, tables, base)
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
    throw new BardoError('bad-image', 'the vdso of a process is no ELF library', { why: error.message })
  }
}

function readSymbols(
  bytes: Uint8Array,
  view: DataView,
  tables: ReadonlyMap<bigint, number>,
  base: bigint,
): VdsoSymbols {
  const [symbols, strings] = [tables.get(DT_SYMTAB), tables.get(DT_STRTAB)]
  if (symbols === undefined || strings === undefined) throw new RangeError('no symbols')
  const hash = tables.get(DT_HASH)
  // Without a DT_HASH, whose second word is the count, the strings begin where the symbols end.
  const count = Math.min(
    hash === undefined ? (strings - symbols) / SYMBOL_SIZE : view.getUint32(hash + 4, true),
    SYMBOLS_MAX,
  )
  const found = new Map<string, number>()
  for (let index = 0; index < count; index++) {
    const at = symbols + index * SYMBOL_SIZE
    const isFunction = (view.getUint8(at + 4) & 15) === STT_FUNC
    const section = view.getUint16(at + 6, true)
    if (!isFunction || section === 0) continue
    const name = strings + view.getUint32(at, true)
    const end = bytes.indexOf(0, name)
    if (end < 0) throw new RangeError('a name without an end')
    found.set(String.fromCharCode(...bytes.subarray(name, end)), Number(view.getBigUint64(at + 8, true) - base))
  }
  return found
}

/** Whether every function that callers of `theirs` may know is at the same place in `ours`. */
export function sameEntries(theirs: VdsoSymbols, ours: VdsoSymbols): boolean {
  for (const [name, offset] of theirs) if (ours.get(name) !== offset) return false
  return true
}

/** What to write over an old vdso at offset `at`. */
export type Patch = { readonly at: number; readonly code: Uint8Array }

/** `movabs rax, address; jmp rax`: rax holds nothing at the entry of a function. */
function jumpTo(address: bigint): Uint8Array {
  const code = new Uint8Array(PATCH_SIZE)
  const view = new DataView(code.buffer)
  view.setUint16(0, 0xb848, true)
  view.setBigUint64(2, address, true)
  view.setUint16(10, 0xe0ff, true)
  return code
}

/** `mov r10, rcx; mov eax, nr; syscall; ret`: the fourth argument of a call is not where that of a function is. */
function callOf(nr: number): Uint8Array {
  const code = Uint8Array.of(0x49, 0x89, 0xca, 0xb8, 0, 0, 0, 0, 0x0f, 0x05, 0xc3, 0xcc)
  new DataView(code.buffer).setUint32(4, nr, true)
  return code
}

/**
 * What leads the functions of an old vdso to ours, which lies at `address`. Those that ours lacks make the system call of
 * their name: their own code would look for the data of the old kernel, which is not there.
 * Throws `bad-image` where there is no room for that: real ones are at least 16 bytes apart.
 */
export function patchesOf(theirs: VdsoSymbols, ours: VdsoSymbols, address: number, size: number): Patch[] {
  const patches = new Map<number, Uint8Array>()
  for (const [name, offset] of theirs) {
    const target = ours.get(name)
    const nr = callNumber(name.replace(/^__vdso_/, ''))
    if (target !== undefined) patches.set(offset, jumpTo(BigInt(address + target)))
    else if (nr !== undefined && !patches.has(offset)) patches.set(offset, callOf(nr))
  }
  const sorted = [...patches].map(([at, code]) => ({ at, code })).toSorted((a, b) => a.at - b.at)
  for (const [index, { at }] of sorted.entries())
    if (!(at >= 0 && at + PATCH_SIZE <= (sorted[index + 1]?.at ?? size)))
      throw new BardoError('bad-image', 'the functions of the vdso of a process are not where they can be')
  return sorted
}

const callNumber = (name: string): number | undefined => (NR as Readonly<Record<string, number>>)[name]
