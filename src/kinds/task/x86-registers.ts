// General registers, FPU and vector state, and TLS descriptors of an x86-64 thread.
import { BardoError } from '../../base/errors.ts'
import { perRun } from '../../base/run.ts'
import type { user_desc_t, user_x86_fpregs_entry, user_x86_regs_entry } from '../../image/messages/arch/x86.ts'
import { REG, REG_COUNT, type Registers } from '../../linux/arch/x86-64.ts'
import { cpuid } from '../../linux/arch/cpuid.ts'

const CS_32BIT = 0x23n

/**
 * `make`, which gives for equal bytes the same object, of the last `count` that were different: so it is written but once.
 * The bytes are kept, and must not change.
 */
function remembering<T>(count: number, make: (bytes: Uint8Array) => T): (bytes: Uint8Array) => T {
  // Of one run: where components are, and which there are, is the processor's.
  const memory = perRun((): { readonly bytes: Uint8Array; readonly made: T }[] => [])
  return bytes => {
    const met = memory()
    const known = met.find(one => Buffer.compare(one.bytes, bytes) === 0)
    if (known !== undefined) return known.made
    const made = make(bytes)
    met.unshift({ bytes, made })
    met.length = Math.min(met.length, count)
    return made
  }
}

const NAMES = Object.entries(REG)

export function registersToImage(regs: Registers): user_x86_regs_entry {
  const entry: Record<string, unknown> = {}
  for (const [name, index] of NAMES) entry[name] = regs[index]
  entry['mode'] = 1
  return entry as user_x86_regs_entry
}

export function registersFromImage(entry: user_x86_regs_entry): Registers {
  const regs = new BigUint64Array(REG_COUNT)
  for (const [name, index] of NAMES) regs[index] = (entry as unknown as Record<string, bigint>)[name]!
  return regs
}

export const runs32BitCode = (regs: Registers): boolean => regs[REG.cs] === CS_32BIT

// The XSAVE area in its standard format (Intel SDM vol. 1, 13.4): 512 bytes of FXSAVE, 64 of header, then components
// at places that cpuid leaf 0xd tells and that differ between makers.
const HEADER = 512
const FIRST_COMPONENT = 576
const MXCSR_MASK = 28

/** The components that CRIU's images name, by their bit in xstate_bv. */
const NAMED = [
  { bit: 2, field: 'ymmh_space', words: 32 },
  { bit: 3, field: 'bndreg_state', words: 64 },
  { bit: 4, field: 'bndcsr_state', words: 64 },
  { bit: 5, field: 'opmask_reg', words: 64 },
  { bit: 6, field: 'zmm_upper', words: 64 },
  { bit: 7, field: 'hi16_zmm', words: 64 },
  { bit: 9, field: 'pkru', words: 32 },
] as const
const LEGACY_BITS = 0b11n
const NAMED_BITS = NAMED.reduce((bits, { bit }) => bits | (1n << BigInt(bit)), LEGACY_BITS)

type Component = { readonly offset: number; readonly size: number }
const components = perRun(() => new Map<number, Component | undefined>())

/** Where component `bit` is on this processor; undefined where there is none. */
function component(bit: number): Component | undefined {
  const known = components()
  if (!known.has(bit)) {
    const { eax, ebx } = cpuid(0xd, bit)
    known.set(bit, eax === 0 ? undefined : { offset: ebx, size: eax })
  }
  return known.get(bit)
}

/** Threads that wait in the same call mostly have the same. */
export const xstateToImage = remembering(1, fpregsOf)

function fpregsOf(xstate: Uint8Array): user_x86_fpregs_entry {
  const view = new DataView(xstate.buffer, xstate.byteOffset, xstate.length)
  const u32s = (at: number, count: number): Uint32Array => new Uint32Array(xstate.slice(at, at + 4 * count).buffer)
  const present = view.getBigUint64(HEADER, true)
  const xsave: Record<string, unknown> = { xstate_bv: present }
  for (const { bit, field, words } of NAMED) {
    const place = component(bit)
    const there = place !== undefined && place.offset + place.size <= xstate.length
    const { buffer } = there ? xstate.slice(place.offset, place.offset + place.size) : new Uint8Array()
    xsave[field] = words === 32 ? new Uint32Array(buffer) : new BigUint64Array(buffer)
  }
  if ((present & ~NAMED_BITS) !== 0n) xsave['raw'] = xstate
  return {
    cwd: view.getUint16(0, true),
    swd: view.getUint16(2, true),
    twd: view.getUint16(4, true),
    fop: view.getUint16(6, true),
    rip: view.getBigUint64(8, true),
    rdp: view.getBigUint64(16, true),
    mxcsr: view.getUint32(24, true),
    mxcsr_mask: view.getUint32(MXCSR_MASK, true),
    st_space: u32s(32, 32),
    xmm_space: u32s(160, 64),
    padding: new Uint32Array(),
    xsave: xsave as unknown as NonNullable<user_x86_fpregs_entry['xsave']>,
  }
}

/**
 * The XSAVE area for this processor. Components of the image that it lacks are refused: a program that uses them would
 * die of SIGILL, or compute something else.
 */
export function xstateFromImage(entry: user_x86_fpregs_entry, where: string): Uint8Array {
  // Equal ones of an image are one object.
  const last = lastXstate()
  if (last.entry !== entry) Object.assign(last, { entry, xstate: xstateOf(entry, where) })
  return last.xstate!
}

const lastXstate = perRun((): { entry?: user_x86_fpregs_entry; xstate?: Uint8Array } => ({}))

function xstateOf(entry: user_x86_fpregs_entry, where: string): Uint8Array {
  const { eax: low, ecx: size, edx: high } = cpuid(0xd, 0)
  const supported = BigInt(low) | (BigInt(high) << 32n)
  const bytes = new Uint8Array(Math.max(size, FIRST_COMPONENT))
  const view = new DataView(bytes.buffer)
  const { xsave } = entry
  const present = xsave?.xstate_bv ?? LEGACY_BITS
  if ((present & ~supported) !== 0n)
    throw new BardoError('unsupported', 'this processor lacks vector state that the program uses', {
      where,
      why: `components ${bitNames(present & ~supported)} of the XSAVE area are in the image and not in this processor`,
      hint: 'restore on a processor with the same features, or start the program with them switched off (GLIBC_TUNABLES)',
    })
  if (xsave?.raw !== undefined) {
    bytes.set(xsave.raw.subarray(0, bytes.length))
    return bytes
  }
  view.setUint16(0, entry.cwd, true)
  view.setUint16(2, entry.swd, true)
  view.setUint16(4, entry.twd, true)
  view.setUint16(6, entry.fop, true)
  view.setBigUint64(8, entry.rip, true)
  view.setBigUint64(16, entry.rdp, true)
  view.setUint32(24, entry.mxcsr, true)
  view.setUint32(MXCSR_MASK, entry.mxcsr_mask, true)
  putWords(bytes, 32, 4 * 32, entry.st_space)
  putWords(bytes, 160, 4 * 64, entry.xmm_space)
  view.setBigUint64(HEADER, present, true)
  for (const { bit, field } of NAMED) {
    const place = component(bit)
    const values = xsave?.[field]
    if (place !== undefined && values !== undefined) putWords(bytes, place.offset, place.size, values)
  }
  return bytes
}

/** Puts words of the image into `size` bytes at `at`. */
function putWords(bytes: Uint8Array, at: number, size: number, words: Uint32Array | BigUint64Array): void {
  bytes.set(new Uint8Array(words.buffer, words.byteOffset, Math.min(size, words.byteLength)), at)
}

function bitNames(bits: bigint): string {
  const names = [
    'x87',
    'SSE',
    'AVX',
    'BNDREGS',
    'BNDCSR',
    'opmask',
    'ZMM_Hi256',
    'Hi16_ZMM',
    'PT',
    'PKRU',
    'PASID',
    'CET_U',
    'CET_S',
    'HDC',
    'UINTR',
    'LBR',
    'HWP',
    'AMX tile config',
    'AMX tile data',
    'APX',
  ]
  const found: string[] = []
  for (let bit = 0; bit < 64; bit++) if ((bits >> BigInt(bit)) & 1n) found.push(names[bit] ?? String(bit))
  return found.join(', ')
}

/** The three TLS entries of the GDT (linux/ldt.h, struct user_desc; arch/x86/include/asm/segment.h). */
export const TLS_ENTRIES = [12, 13, 14] as const

/** Hardly a thread has other than empty ones. */
export const descFromKernel = remembering(TLS_ENTRIES.length, parseDesc)

function parseDesc(bytes: Uint8Array): user_desc_t {
  const view = new DataView(bytes.buffer, bytes.byteOffset)
  const bits = view.getUint32(12, true)
  return {
    entry_number: view.getUint32(0, true),
    base_addr: view.getUint32(4, true),
    limit: view.getUint32(8, true),
    seg_32bit: (bits & 1) !== 0,
    contents_l: (bits & 2) !== 0,
    contents_h: (bits & 4) !== 0,
    read_exec_only: (bits & 8) !== 0,
    limit_in_pages: (bits & 16) !== 0,
    seg_not_present: (bits & 32) !== 0,
    usable: (bits & 64) !== 0,
  }
}

export function descToKernel(desc: user_desc_t): Uint8Array {
  const bytes = new Uint8Array(16)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, desc.entry_number, true)
  view.setUint32(4, desc.base_addr, true)
  view.setUint32(8, desc.limit, true)
  const flags = [
    desc.seg_32bit,
    desc.contents_l,
    desc.contents_h,
    desc.read_exec_only,
    desc.limit_in_pages,
    desc.seg_not_present,
    desc.usable,
  ]
  view.setUint32(
    12,
    flags.reduce((bits, on, index) => bits | (on ? 1 << index : 0), 0),
    true,
  )
  return bytes
}

/** An entry that no program set: all that a new thread has. */
export const isEmptyDesc = (desc: user_desc_t): boolean =>
  desc.base_addr === 0 && desc.limit === 0 && desc.seg_not_present && desc.read_exec_only && !desc.usable
