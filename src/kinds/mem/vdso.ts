// The vdso: a small ELF library of the kernel's, mapped into every process. A process carries addresses inside it (in
// the C library's tables, on stacks), so on another kernel, whose vdso has its functions elsewhere, those places must
// lead to the new ones.
import { BardoError } from '../../base/errors.ts'

/** Exported functions by name: offsets from the start of the vdso. */
export type VdsoSymbols = ReadonlyMap<string, number>

const [PT_LOAD, PT_DYNAMIC] = [1, 2]
const [DT_NULL, DT_HASH, DT_STRTAB, DT_SYMTAB] = [0n, 4n, 5n, 6n]
const SYMBOL_SIZE = 24
const STT_FUNC = 2
const SYMBOLS_MAX = 4096

/** A jump by an absolute address; rax holds nothing at the entry of a function: `movabs rax, imm64; jmp rax`. */
const JUMP_SIZE = 12

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

/**
 * What to write over an old vdso at offset `at`, so that its functions jump to ours, which lies at `address`.
 * Functions that ours lacks stay as they are: they fall back to system calls, since the old data page is not there.
 */
export function jumpsTo(
  theirs: VdsoSymbols,
  ours: VdsoSymbols,
  address: number,
): { readonly at: number; readonly code: Uint8Array }[] {
  const jumps = new Map<number, Uint8Array>()
  for (const [name, offset] of theirs) {
    const target = ours.get(name)
    if (target === undefined) continue
    const code = new Uint8Array(JUMP_SIZE)
    const view = new DataView(code.buffer)
    view.setUint16(0, 0xb848, true)
    view.setBigUint64(2, BigInt(address + target), true)
    view.setUint16(10, 0xe0ff, true)
    jumps.set(offset, code)
  }
  return [...jumps].map(([at, code]) => ({ at, code }))
}
