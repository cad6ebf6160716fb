// Prints an image file exactly as `crit decode --pretty` does.
import { BardoError } from '../base/errors.ts'
import { eachEntry, keyOfBytes, type ByteSource, type Entry, type Span } from './entries.ts'
import { imageFiles, type ImageFile, type ImageKey } from './files.ts'
import { quotedPrintable } from './quoted-printable.ts'
import { nameOfValue, type Field, type Message, type Show } from './words.ts'

/** What can be printed: Python's json, plus bytes of the file in base64. */
type Tree = string | number | bigint | boolean | readonly Tree[] | Branch | Base64
interface Branch extends ReadonlyMap<string, Tree> {}

class Base64 {
  readonly span: Span
  constructor(span: Span) {
    this.span = span
  }
}

/**
 * Prints the image in `source`, in pieces, without a last newline. What it is, its magics tell.
 * Throws `bad-image` for a file without magics (pages), or a damaged one.
 */
export function showImage(source: ByteSource, name: string, write: (text: string) => void): void {
  const key = keyOfBytes(source)
  if (key === undefined)
    throw new BardoError('bad-image', `${name} is not an image file with entries`, {
      where: name,
      why: 'it starts with no magic that is known',
      hint: 'files of pages hold bytes of memory: look at the pagemap instead',
    })
  const file = imageFiles[key]
  write(`{\n    "magic": ${quote(key)},\n    "entries": [`)
  let count = 0
  eachEntry(source, name, file, found => {
    for (const tree of treesOf(key, file, found, count > 0, source)) {
      write(count++ === 0 ? '\n        ' : ',\n        ')
      print(tree, 8, source, write)
    }
  })
  write(count === 0 ? ']\n}' : '\n    ]\n}')
}

/** An entry as crit lists it: one tree, with what follows as `extra`; of a file in chunks, one tree for each. */
function treesOf(key: ImageKey, file: ImageFile, found: Entry<unknown>, later: boolean, source: ByteSource): Tree[] {
  const tree = treeOf(later && file.following !== undefined ? file.following : file.entry, found.entry, false)
  if (key === 'GHOST_FILE') {
    if (found.parts.length > 0) return [tree, ...found.parts.map(part => chunk(file.parts!.message, part))]
    return [(found.entry as { chunks?: boolean }).chunks === true ? tree : tree.set('extra', new Base64(found.payload))]
  }
  if (file.payload === undefined && file.parts === undefined) return [tree]
  return [tree.set('extra', extraOf(key, file, found, source))]
}

const chunk = (message: Message, part: Entry<unknown>): Tree =>
  treeOf(message, part.entry, false).set('extra', new Base64(part.payload))

function extraOf(key: ImageKey, file: ImageFile, found: Entry<unknown>, source: ByteSource): Tree {
  const { offset, size } = found.payload
  if (key === 'TCP_STREAM') {
    const { inq_len } = found.entry as { inq_len: number }
    return new Map([
      ['inq', new Base64({ offset, size: inq_len })],
      ['outq', new Base64({ offset: offset + inq_len, size: size - inq_len })],
    ])
  }
  if (key === 'IPCNS_SEM') return u16s(source, found.payload)
  if (key === 'IPCNS_MSG')
    return found.parts.flatMap(part => [treeOf(file.parts!.message, part.entry, false), new Base64(part.payload)])
  return new Base64(found.payload)
}

function u16s(source: ByteSource, span: Span): number[] {
  const values: number[] = []
  for (let at = 0; at < span.size; at += 2) {
    const two = source.view(span.offset + at, 2)
    values.push(two[0]! | (two[1]! << 8))
  }
  return values
}

function treeOf(message: Message, state: unknown, inHex: boolean): Map<string, Tree> {
  const tree = new Map<string, Tree>()
  const fields = Object.entries(message.fields).toSorted((a, b) => a[1].number - b[1].number)
  for (const [name, field] of fields) {
    const held = (state as Record<string, unknown>)[name]
    const value = field.vector === true ? Array.from(held as Iterable<unknown>) : held
    if (value === undefined || (Array.isArray(value) && value.length === 0)) continue
    // An address is printed as one, whatever number of words it has.
    if (Array.isArray(value) && field.show?.as === 'ip') tree.set(name, [address(value as number[])])
    else if (Array.isArray(value))
      tree.set(
        name,
        value.map(one => leafOf(message, name, field, one, inHex)),
      )
    else tree.set(name, leafOf(message, name, field, value, inHex))
  }
  return tree
}

function leafOf(message: Message, name: string, field: Field, value: unknown, inHex: boolean): Tree {
  const hex = inHex || field.show?.as === 'hex'
  if (field.word === 'message') return treeOf(field.message ?? message, value, hex)
  if (field.word === 'choice') return nameOfValue(field.values!, value as number) ?? (value as number)
  if (value instanceof Uint8Array) return field.show?.as === 'unix_name' ? quotedPrintable(value) : base64(value)
  if (typeof value === 'number' || typeof value === 'bigint')
    return hex ? `0x${value.toString(16)}` : (numberOf(name, Number(value), field.show) ?? value)
  return value as string | boolean
}

/** A number in words, undefined if it is to be printed as it is. */
function numberOf(name: string, value: number, show: Show | undefined): string | undefined {
  switch (show?.as) {
    case 'dev':
      return show.old
        ? `${(value >>> 8) & 0xfff}:${(value & 0xff) | ((value >>> 12) & 0xfff00)}`
        : `${value >>> 20}:${value & 0xfffff}`
    case 'flags':
      return flagNames(value, flagTables[show.table] ?? [])
    case 'dict':
      return words[name]?.[value]
    default:
      return undefined
  }
}

function flagNames(value: number, table: readonly (readonly [string, number])[]): string {
  const names: string[] = []
  let rest = value
  for (const [name, bits] of table) {
    if ((value & bits) !== 0) names.push(name)
    rest &= ~bits
  }
  if (rest !== 0) names.push(`0x${(rest >>> 0).toString(16)}`)
  return names.join(' | ')
}

/** An address in its shortest form (RFC 5952), from one or four words of network byte order. */
function address(words: readonly number[]): string {
  const bytes = words.flatMap(word => [word & 0xff, (word >>> 8) & 0xff, (word >>> 16) & 0xff, word >>> 24])
  if (words.length === 1) return bytes.join('.')
  const groupAt = (i: number): string => (((bytes[2 * i] ?? 0) << 8) | (bytes[2 * i + 1] ?? 0)).toString(16)
  const groups = Array.from({ length: 8 }, (_, i) => groupAt(i))
  // The first of the longest runs of two or more zeros is left out.
  let [best, bestLength] = [0, 1]
  for (let from = 0; from < 8; from++) {
    let length = 0
    while (groups[from + length] === '0') length++
    if (length > bestLength) [best, bestLength] = [from, length]
  }
  if (bestLength === 1) return groups.join(':')
  return `${groups.slice(0, best).join(':')}::${groups.slice(best + bestLength).join(':')}`
}

function print(tree: Tree, indent: number, source: ByteSource, write: (text: string) => void): void {
  if (tree instanceof Base64) {
    write('"')
    // Whole lines of base64, so that pieces join.
    for (let at = 0; at < tree.span.size; at += PIECE)
      write(base64(source.view(tree.span.offset + at, Math.min(PIECE, tree.span.size - at))).replaceAll('\n', '\\n'))
    write('"')
  } else if (tree instanceof Map) {
    printList([...tree], '{}', indent, write, ([name, value]) => {
      write(`${quote(name)}: `)
      print(value, indent + 4, source, write)
    })
  } else if (typeof tree === 'object') {
    printList(tree as readonly Tree[], '[]', indent, write, value => print(value, indent + 4, source, write))
  } else write(typeof tree === 'string' ? quote(tree) : String(tree))
}

function printList<T>(
  items: readonly T[],
  brackets: string,
  indent: number,
  write: (text: string) => void,
  each: (item: T) => void,
): void {
  if (items.length === 0) return write(brackets)
  const margin = ' '.repeat(indent)
  items.forEach((item, index) => {
    write(`${index === 0 ? brackets[0] : ','}\n${margin}    `)
    each(item)
  })
  write(`\n${margin}${brackets[1]}`)
}

/** 57 bytes make a line of 76 characters. */
const LINE = 57
const PIECE = LINE * 1024

/** Base64 in lines, each with its newline. */
function base64(bytes: Uint8Array): string {
  let text = ''
  for (let at = 0; at < bytes.length; at += LINE) text += `${bytes.subarray(at, at + LINE).toBase64()}\n`
  return text
}

/** A JSON string in ASCII. */
function quote(text: string): string {
  const escape = (unit: string): string => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`
  return JSON.stringify(text).replace(/[\u0080-\uffff]/g, escape)
}

// Words of numbers that are printed so by the field's name.
const words: Readonly<Record<string, Readonly<Record<number, string>>>> = {
  // 3 is a stopped task in truth, and 2 a zombie: crit's words are kept, since the output is to be the same.
  task_state: { 1: 'Alive', 3: 'Zombie', 6: 'Stopped' },
  family: { 1: 'UNIX', 2: 'INET', 10: 'INET6', 16: 'NETLINK', 17: 'PACKET' },
  type: { 1: 'STREAM', 2: 'DGRAM', 3: 'RAW', 5: 'SEQPACKET', 10: 'PACKET' },
  state: {
    1: 'ESTABLISHED',
    2: 'SYN_SENT',
    3: 'SYN_RECV',
    4: 'FIN_WAIT1',
    5: 'FIN_WAIT2',
    6: 'TIME_WAIT',
    7: 'CLOSE',
    8: 'CLOSE_WAIT',
    9: 'LAST_ACK',
    10: 'LISTEN',
  },
  proto: { 0: 'IP', 6: 'TCP', 17: 'UDP', 136: 'UDPLITE' },
}

const flagTables: Readonly<Record<string, readonly (readonly [string, number])[]>> = {
  'mmap.prot': [
    ['PROT_READ', 1],
    ['PROT_WRITE', 2],
    ['PROT_EXEC', 4],
  ],
  'mmap.flags': [
    ['MAP_SHARED', 0x1],
    ['MAP_PRIVATE', 0x2],
    ['MAP_DROPPABLE', 0x8],
    ['MAP_ANON', 0x20],
    ['MAP_GROWSDOWN', 0x100],
  ],
  'mmap.status': [
    ['VMA_AREA_REGULAR', 1],
    ['VMA_AREA_STACK', 1 << 1],
    ['VMA_AREA_VSYSCALL', 1 << 2],
    ['VMA_AREA_VDSO', 1 << 3],
    ['VMA_AREA_HEAP', 1 << 5],
    ['VMA_FILE_PRIVATE', 1 << 6],
    ['VMA_FILE_SHARED', 1 << 7],
    ['VMA_ANON_SHARED', 1 << 8],
    ['VMA_ANON_PRIVATE', 1 << 9],
    ['VMA_AREA_SYSVIPC', 1 << 10],
    ['VMA_AREA_SOCKET', 1 << 11],
    ['VMA_AREA_VVAR', 1 << 12],
    ['VMA_AREA_AIORING', 1 << 13],
    ['VMA_AREA_MEMFD', 1 << 14],
    ['VMA_AREA_SHSTK', 1 << 15],
    ['VMA_AREA_UPROBES', 1 << 17],
    ['VMA_UNSUPP', 1 << 31],
  ],
  'rfile.flags': [
    ['O_WRONLY', 0o1],
    ['O_RDWR', 0o2],
    ['O_CREAT', 0o100],
    ['O_EXCL', 0o200],
    ['O_NOCTTY', 0o400],
    ['O_TRUNC', 0o1000],
    ['O_APPEND', 0o2000],
    ['O_NONBLOCK', 0o4000],
    ['O_DSYNC', 0o10000],
    ['FASYNC', 0o20000],
    ['O_DIRECT', 0o40000],
    ['O_LARGEFILE', 0o100000],
    ['O_DIRECTORY', 0o200000],
    ['O_NOFOLLOW', 0o400000],
    ['O_NOATIME', 0o1000000],
    ['O_CLOEXEC', 0o2000000],
  ],
  'pmap.flags': [
    ['PE_PARENT', 1],
    ['PE_LAZY', 2],
    ['PE_PRESENT', 4],
  ],
  'seals.flags': [
    ['F_SEAL_SEAL', 0x1],
    ['F_SEAL_SHRINK', 0x2],
    ['F_SEAL_GROW', 0x4],
    ['F_SEAL_WRITE', 0x8],
    ['F_SEAL_FUTURE_WRITE', 0x10],
  ],
}
