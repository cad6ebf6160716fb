// Takes the memory of a process that has stopped itself, as the parts from which an executable starts (tools/start.ts).
import { closeSync, openSync, readdirSync, readFileSync, readlinkSync, readSync } from 'node:fs'
import { parseVdso, patchesOf } from '../src/kinds/mem/vdso.ts'
import { cpuid } from '../src/linux/arch/cpuid.ts'
import { REG } from '../src/linux/arch/x86-64.ts'
import {
  MADV_DONTFORK,
  MADV_HUGEPAGE,
  MADV_NOHUGEPAGE,
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_FIXED_NOREPLACE,
  MAP_NORESERVE,
  MAP_PRIVATE,
  PROT_WRITE,
} from '../src/linux/constants.ts'
import { loadCode, Arena, machineCode } from '../src/linux/ffi.ts'
import { PAGEMAP_ENTRY_BYTES, PM_FILE_HIGH, PM_PRESENT_HIGH, PM_SWAP_HIGH } from '../src/linux/proc/pagemap-scan.ts'
import { parseMappingFlags, VM_FLAG, type FlaggedMapping } from '../src/linux/proc/smaps.ts'
import { getRegisters } from '../src/tracee/ptrace.ts'
import { PAGE } from './elf.ts'

/** Pages that are mapped with what is around them, because a mapping costs more than they do. */
const GAP_PAGES = 32
/** What the stack may grow to; the C library has asked for it at the start (RLIMIT_STACK). */
export const STACK_BYTES = 8 << 20

/** Memory to be mapped: anonymous, from the contents that were taken, or from what the executable has itself. */
export type Part = {
  readonly address: number
  readonly length: number
  readonly prot: number
  readonly flags: number
  readonly offset?: { readonly inFrozen: number } | { readonly inFile: number }
}

/** Bits of what cpuid answers to a leaf. */
export type Feature = {
  readonly leaf: number
  readonly subleaf: number
  readonly eax: number
  readonly ebx: number
  readonly ecx: number
  readonly edx: number
}

export type Advice = { readonly address: number; readonly length: number; readonly advice: number }

export type Frozen = {
  /** The contents of parts. */
  readonly bytes: Uint8Array
  /** Parts that lie where nothing else may be. */
  readonly parts: readonly Part[]
  /** Parts that replace memory of the executable's own. */
  readonly ownParts: readonly Part[]
  readonly advice: readonly Advice[]
  readonly registers: Readonly<Record<keyof typeof REG, bigint>>
  readonly processor: { readonly xcr0: number; readonly features: readonly Feature[] }
}

// xor ecx, ecx; xgetbv; mov [rdi], eax; ret
const XGETBV = machineCode('31c9', '0f01d0', '8907', 'c3')

const bits = (...numbers: number[]): number => numbers.reduce((all, bit) => all | (1 << bit), 0)

/**
 * The bits that stand for instructions (Intel SDM, volume 2, CPUID; AMD APM, volume 3, appendix E). The others tell of the
 * machine, such as mitigations or that it is a virtual one, and code does not depend on them.
 */
const INSTRUCTIONS: readonly Feature[] = [
  // SSE3 to SSE4.2, PCLMUL, FMA, CX16, MOVBE, POPCNT, AES, XSAVE, AVX, F16C, RDRAND; CX8, CMOV, CLFLUSH, MMX, FXSR, SSE, SSE2.
  {
    leaf: 1,
    subleaf: 0,
    eax: 0,
    ebx: 0,
    ecx: bits(0, 1, 9, 12, 13, 19, 20, 22, 23, 25, 26, 27, 28, 29, 30),
    edx: bits(8, 15, 19, 23, 24, 25, 26),
  },
  // FSGSBASE, BMI1, HLE, AVX2, BMI2, RTM, RDSEED, ADX, CLFLUSHOPT, CLWB, SHA, and what there is of AVX-512 and AMX.
  {
    leaf: 7,
    subleaf: 0,
    eax: 0,
    ebx: bits(0, 3, 4, 5, 8, 11, 16, 17, 18, 19, 21, 23, 24, 26, 27, 28, 29, 30, 31),
    ecx: bits(1, 5, 6, 8, 9, 10, 11, 12, 14, 22, 27, 28),
    edx: bits(2, 3, 8, 14, 22, 23, 24, 25),
  },
  // AVX-VNNI, AVX512-BF16, AVX-IFMA; AVX-VNNI-INT8, AVX-NE-CONVERT.
  { leaf: 7, subleaf: 1, eax: bits(4, 5, 23), ebx: 0, ecx: 0, edx: bits(4, 5) },
  // LAHF, LZCNT, SSE4A, PREFETCHW, XOP, FMA4, TBM.
  { leaf: 0x8000_0001, subleaf: 0, eax: 0, ebx: 0, ecx: bits(0, 5, 6, 8, 11, 16, 21), edx: 0 },
]

/** What code that was made on this processor may use: instructions, and the state that the kernel keeps (XCR0). */
function processorHere(): Frozen['processor'] {
  const arena = new Arena(PAGE)
  loadCode(XGETBV)(arena.address)
  const xcr0 = arena.view.getUint32(0, true)
  arena.unmap()
  const features = INSTRUCTIONS.map(({ leaf, subleaf, eax, ebx, ecx, edx }) => {
    const here = cpuid(leaf, subleaf)
    return { leaf, subleaf, eax: eax & here.eax, ebx: ebx & here.ebx, ecx: ecx & here.ecx, edx: edx & here.edx }
  })
  const isAny = ({ eax, ebx, ecx, edx }: Feature): boolean => (eax | ebx | ecx | edx) !== 0
  return { xcr0, features: features.filter(isAny) }
}

type Span = { readonly start: number; readonly end: number; readonly prot: number }

class Memory {
  readonly #mem: number
  readonly #pagemap: number

  constructor(pid: number) {
    this.#mem = openSync(`/proc/${pid}/mem`, 'r')
    this.#pagemap = openSync(`/proc/${pid}/pagemap`, 'r')
  }

  read(address: number, length: number): Uint8Array {
    const bytes = new Uint8Array(length)
    for (let done = 0; done < length;) {
      const n = readSync(this.#mem, bytes, done, length - done, address + done)
      if (n <= 0) throw new Error(`cannot read ${length} bytes of memory at ${address.toString(16)}`)
      done += n
    }
    return bytes
  }

  /** The pages of [start, end) that `wanted` takes, by the upper word of their pagemap entries; neighbours together. */
  runs(start: number, end: number, wanted: (high: number) => boolean): { start: number; end: number }[] {
    const found: { start: number; end: number }[] = []
    const piece = new Uint8Array(1 << 20)
    for (let address = start; address < end;) {
      const n = readSync(this.#pagemap, piece, 0, piece.length, (address / PAGE) * PAGEMAP_ENTRY_BYTES)
      const view = new DataView(piece.buffer, 0, n)
      for (let at = 0; at < n && address < end; at += PAGEMAP_ENTRY_BYTES, address += PAGE) {
        if (!wanted(view.getUint32(at + 4, true))) continue
        const last = found.at(-1)
        if (last !== undefined && address - last.end < GAP_PAGES * PAGE) last.end = address + PAGE
        else found.push({ start: address, end: address + PAGE })
      }
    }
    return found
  }

  [Symbol.dispose](): void {
    closeSync(this.#mem)
    closeSync(this.#pagemap)
  }
}

const isThere = (high: number): boolean => (high & (PM_PRESENT_HIGH | PM_SWAP_HIGH)) !== 0
/** A page of a file that nobody has written to is no more than the file. */
const isWritten = (high: number): boolean => isThere(high) && (high & PM_FILE_HIGH) === 0

/** Collects parts and their contents. */
class Taking {
  readonly #memory: Memory
  readonly #pieces: Uint8Array[] = []
  #size = 0
  readonly parts: Part[] = []
  readonly ownParts: Part[] = []
  readonly advice: Advice[] = []

  constructor(memory: Memory) {
    this.#memory = memory
  }

  get bytes(): Uint8Array {
    return Buffer.concat(this.#pieces)
  }

  #keep(bytes: Uint8Array): { inFrozen: number } {
    const inFrozen = this.#size
    this.#pieces.push(bytes)
    this.#size += bytes.length
    return { inFrozen }
  }

  /** Mappings that only processes of the kernel it was on have: functions of the vdso become system calls. */
  vdso({ start, end, prot }: FlaggedMapping): void {
    const bytes = this.#memory.read(start, end - start)
    for (const { at, code } of patchesOf(parseVdso(bytes), new Map(), 0, bytes.length)) bytes.set(code, at)
    const flags = MAP_PRIVATE | MAP_FIXED_NOREPLACE
    this.parts.push({ address: start, length: end - start, prot, flags, offset: this.#keep(bytes) })
  }

  /** The stack, with all the room that it may need: ours does not grow by itself. */
  stack({ start, end, prot }: FlaggedMapping): void {
    if (end - start > STACK_BYTES) throw new Error('the stack is larger than it may be')
    this.#mapped(this.parts, { start: end - STACK_BYTES, end, prot }, MAP_FIXED_NOREPLACE | MAP_NORESERVE, isThere)
  }

  /** Memory that begins as it is in the executable. */
  executable({ start, end, prot, pgoff_bytes }: FlaggedMapping): void {
    const written = this.#memory.runs(start, end, isWritten)
    if ((prot & PROT_WRITE) === 0 && written.length === 0 && this.ownParts.length === 0) return
    const offset = { inFile: pgoff_bytes }
    this.ownParts.push({ address: start, length: end - start, prot, flags: MAP_PRIVATE | MAP_FIXED, offset })
    this.#contents(this.ownParts, { start, end, prot }, isWritten)
  }

  /** Anonymous memory, and libraries, which count as such: those of another machine are others. */
  other(mapping: FlaggedMapping, isOwn: boolean): void {
    const { start, end, vmflags, path } = mapping
    const list = isOwn ? this.ownParts : this.parts
    const fixed = isOwn ? MAP_FIXED : MAP_FIXED_NOREPLACE
    const noReserve = (vmflags & VM_FLAG.nr) === 0n ? 0 : MAP_NORESERVE
    this.#mapped(list, mapping, fixed | noReserve, path.startsWith('/') ? () => true : isThere)
    for (const [flag, advice] of [
      [VM_FLAG.dc, MADV_DONTFORK],
      [VM_FLAG.hg, MADV_HUGEPAGE],
      [VM_FLAG.nh, MADV_NOHUGEPAGE],
    ] as const)
      if ((vmflags & flag) !== 0n) this.advice.push({ address: start, length: end - start, advice })
  }

  /** Anonymous memory with the pages that are `wanted` in it. */
  #mapped(list: Part[], { start, end, prot }: Span, flags: number, wanted: (high: number) => boolean): void {
    list.push({ address: start, length: end - start, prot, flags: flags | MAP_PRIVATE | MAP_ANONYMOUS })
    const before = list.length
    this.#contents(list, { start, end, prot }, wanted)
    const [contents] = list.slice(before)
    // Where contents are all there is, nothing of the anonymous memory is left.
    if (contents?.length === end - start) list.splice(before - 1, 2, { ...contents, flags: flags | MAP_PRIVATE })
  }

  #contents(list: Part[], { start, end, prot }: Span, wanted: (high: number) => boolean): void {
    for (const run of this.#memory.runs(start, end, wanted)) {
      const length = run.end - run.start
      const offset = this.#keep(this.#memory.read(run.start, length))
      list.push({ address: run.start, length, prot, flags: MAP_PRIVATE | MAP_FIXED, offset })
    }
  }
}

/** Takes the memory of `pid`, a process of one thread that has just made a system call and is stopped under ptrace. */
export function freeze(pid: number): Frozen {
  const executable = readlinkSync(`/proc/${pid}/exe`)
  const threads = readdirSync(`/proc/${pid}/task`).map(tid =>
    readFileSync(`/proc/${pid}/task/${tid}/comm`, 'latin1').trim(),
  )
  // Another thread would not be there any more, and what it was to do never done.
  if (threads.length !== 1) throw new Error(`the process to be frozen has threads: ${threads.join(', ')}`)
  using memory = new Memory(pid)
  const taking = new Taking(memory)
  const mappings = parseMappingFlags(readFileSync(`/proc/${pid}/smaps`))
  const own = mappings.filter(({ path }) => path === executable)
  const [first, last] = [own[0]!.start, own.at(-1)!.end]
  // The executable's zeroed data is anonymous memory right behind its last mapping of the file.
  const behind = mappings.find(({ start, path }) => start === last && path === '')
  for (const mapping of mappings) {
    const { path, start } = mapping
    if (mapping.shared) throw new Error(`the process shares memory at ${start.toString(16)} (${path})`)
    if (path.startsWith('[vvar') || path === '[vsyscall]') continue
    if (path === '[vdso]') taking.vdso(mapping)
    else if (path === '[stack]') taking.stack(mapping)
    else if (path === executable) taking.executable(mapping)
    else taking.other(mapping, mapping === behind || (first <= start && start < last))
  }
  const registers = getRegisters(pid)
  const named = Object.entries(REG).map(([name, index]) => [name, registers[index]!])
  return {
    bytes: taking.bytes,
    parts: taking.parts,
    ownParts: taking.ownParts,
    advice: taking.advice,
    registers: Object.fromEntries(named) as Frozen['registers'],
    processor: processorHere(),
  }
}
