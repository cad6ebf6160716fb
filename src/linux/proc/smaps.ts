// /proc/PID/smaps: maps with the numbers and the VM flags of each mapping (man 5 proc;
// Documentation/filesystems/proc.rst). The VM flags are what maps does not tell and a restore must say again: locked,
// growing down, not inherited, ...
import { Cursor, Keys } from './cursor.ts'
import { type Mapping, Names, parseMapping } from './maps.ts'

const [NEWLINE, SPACE, COLON] = [0x0a, 0x20, 0x3a]

// In the order of their bits here, which is ours: the kernel prints letters so that its own bits may move.
// oxfmt-ignore
const CODES = [
  'rd', 'wr', 'ex', 'sh', 'mr', 'mw', 'me', 'ms', 'gd', 'pf', 'lo', 'lf', 'io', 'sr', 'rr', 'dc', 'de', 'ac', 'nr',
  'ht', 'sf', 'ar', 'wf', 'dd', 'sd', 'mm', 'hg', 'nh', 'mg', 'bt', 'mt', 'um', 'uw', 'ui', 'ss', 'sl', 'dp', 'gu',
] as const

export type VmFlagCode = (typeof CODES)[number]

/**
 * The VM flags as bits of `vmflags`; bigint, for they are more than 32:
 * rd wr ex sh: readable, writable, executable, shared; mr mw me ms: may become so; gd: grows down; pf: pure PFN range;
 * lo: locked; lf: locked on fault; io: memory of a device; sr rr: MADV_SEQUENTIAL, MADV_RANDOM; dc: MADV_DONTFORK;
 * de: not to be expanded by mremap; ac: accounted; nr: MAP_NORESERVE; ht: hugetlb; sf: MAP_SYNC; ar: of the CPU;
 * wf: MADV_WIPEONFORK; dd: MADV_DONTDUMP; sd: soft-dirty; mm: mixed map; hg nh: MADV_HUGEPAGE, MADV_NOHUGEPAGE;
 * mg: MADV_MERGEABLE; bt mt: arm64 BTI, MTE; um uw ui: userfaultfd missing, write-protect, minor; ss: shadow stack;
 * sl: mseal; dp: MAP_DROPPABLE; gu: may hold guard regions (Linux 6.19).
 */
export const VM_FLAG = Object.fromEntries(CODES.map((code, bit) => [code, 1n << BigInt(bit)])) as Readonly<
  Record<VmFlagCode, bigint>
>

// A code's bit by its two letters, -1 for a code that is not ours.
const BIT_OF_LETTERS = new Int8Array(26 * 26).fill(-1)
for (const [bit, code] of CODES.entries()) BIT_OF_LETTERS[lettersOf(code.charCodeAt(0), code.charCodeAt(1))] = bit

// The lines that are kept and where; the rest of the some twenty is passed over.
const FIELDS = [
  ['Rss', 'rss_kb'],
  ['Pss', 'pss_kb'],
  ['Shared_Clean', 'shared_clean_kb'],
  ['Shared_Dirty', 'shared_dirty_kb'],
  ['Private_Clean', 'private_clean_kb'],
  ['Private_Dirty', 'private_dirty_kb'],
  ['Referenced', 'referenced_kb'],
  ['Anonymous', 'anonymous_kb'],
  ['AnonHugePages', 'anon_huge_pages_kb'],
  ['Swap', 'swap_kb'],
  ['Locked', 'locked_kb'],
  ['KernelPageSize', 'kernel_page_size_kb'],
  ['ProtectionKey', 'protection_key'],
] as const

const VM_FLAGS = FIELDS.length
const keys = new Keys([...FIELDS.map(([key]) => key), 'VmFlags'])

/** A mapping with its VM flags: bits of VM_FLAG; codes that are not in it are left out. */
export type FlaggedMapping = Mapping & { vmflags: bigint }

/** A mapping with its numbers in units of 1024 bytes; what this kernel does not print is 0. */
export type DetailedMapping = FlaggedMapping & Record<(typeof FIELDS)[number][1], number>

/**
 * The mappings of a smaps file, by address. No bytes (a kernel thread, a zombie) give none.
 * Throws a BardoError `bug` on all else that is not smaps, and on a mapping without VmFlags, the last line of each.
 */
export function parseSmaps(bytes: Uint8Array): DetailedMapping[] {
  const cursor = new Cursor(bytes, 'smaps')
  const mappings: DetailedMapping[] = []
  const names = new Names(cursor)
  const flags = new FlagsLine(cursor)
  while (!cursor.atEnd) mappings.push(parseEntry(cursor, names, flags))
  return mappings
}

const VM_FLAGS_KEY = 'VmFlags:'

/**
 * Like `parseSmaps`, without the numbers, which are some twenty lines for each mapping: what is read inside the freeze.
 * The VmFlags are the last line of each entry (fs/proc/task_mmu.c, show_smap).
 */
export function parseMappingFlags(bytes: Uint8Array): FlaggedMapping[] {
  const cursor = new Cursor(bytes, 'smaps')
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  const mappings: FlaggedMapping[] = []
  const names = new Names(cursor)
  const flags = new FlagsLine(cursor)
  while (!cursor.atEnd) {
    const mapping = parseMapping(cursor, names)
    const key = text.indexOf(VM_FLAGS_KEY, cursor.at)
    if (key < 0) cursor.fail('VmFlags')
    cursor.at = key + VM_FLAGS_KEY.length
    cursor.skip(SPACE)
    mappings.push({ ...mapping, vmflags: flags.read(cursor.lineEnd()) })
  }
  return mappings
}

function parseEntry(cursor: Cursor, names: Names, flags: FlagsLine): DetailedMapping {
  const entry = withoutNumbers(parseMapping(cursor, names))
  for (;;) {
    const end = cursor.lineEnd()
    const colon = cursor.find(COLON, end)
    // The head of the next mapping holds a colon too, but its key would be no word of ours and it begins in lower case.
    if (colon === end || isHeadOfMapping(cursor.next)) cursor.fail('a line of numbers, or VmFlags')
    const key = keys.find(cursor.bytes, cursor.at, colon)
    if (key >= 0) {
      cursor.at = colon + 1
      cursor.skip(SPACE)
      if (key === VM_FLAGS) {
        entry.vmflags = flags.read(end)
        return entry
      }
      entry[FIELDS[key]![1]] = cursor.decimal()
    }
    cursor.at = end + 1
  }
}

function isHeadOfMapping(byte: number): boolean {
  return (byte >= 0x30 && byte <= 0x39) || (byte >= 0x61 && byte <= 0x66)
}

// All fields are set in one place, so that every entry has the one shape the loops are compiled for.
function withoutNumbers(mapping: Mapping): DetailedMapping {
  return {
    ...mapping,
    vmflags: 0n,
    rss_kb: 0,
    pss_kb: 0,
    shared_clean_kb: 0,
    shared_dirty_kb: 0,
    private_clean_kb: 0,
    private_dirty_kb: 0,
    referenced_kb: 0,
    anonymous_kb: 0,
    anon_huge_pages_kb: 0,
    swap_kb: 0,
    locked_kb: 0,
    kernel_page_size_kb: 0,
    protection_key: 0,
  }
}

/** Reads lines of VmFlags, and keeps the last bigint: a process has few different ones. */
class FlagsLine {
  readonly #cursor: Cursor
  #low = 0
  #high = 0
  #value = 0n

  constructor(cursor: Cursor) {
    this.#cursor = cursor
  }

  /** The codes up to `end`, the line's newline, which is passed. */
  read(end: number): bigint {
    const cursor = this.#cursor
    let low = 0
    let high = 0
    while (cursor.at < end) {
      const from = cursor.at
      cursor.at = cursor.find(SPACE, end)
      // A code that is not two letters is not ours, and passed over as the kernel's manual asks.
      const bit = cursor.at - from === 2 ? bitAt(cursor.bytes, from) : -1
      if (bit >= 32) high |= 1 << (bit - 32)
      else if (bit >= 0) low |= 1 << bit
      cursor.skip(SPACE)
    }
    cursor.expect(NEWLINE)
    if (low !== this.#low || high !== this.#high) {
      this.#value = (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0)
      this.#low = low
      this.#high = high
    }
    return this.#value
  }
}

function bitAt(bytes: Uint8Array, at: number): number {
  return BIT_OF_LETTERS[lettersOf(bytes[at]!, bytes[at + 1]!)] ?? -1
}

/** The index of two lower-case letters in BIT_OF_LETTERS, -1 for other bytes. */
function lettersOf(first: number, second: number): number {
  const [high, low] = [first - 0x61, second - 0x61]
  return high < 0 || high > 25 || low < 0 || low > 25 ? -1 : high * 26 + low
}
