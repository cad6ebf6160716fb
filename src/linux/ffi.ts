// The seam: the one file that knows the runtime's foreign function interface.
// Everything above it makes system calls through `syscall` and keeps its scratch memory in `Arena`s.
//
// Two rules of the runtime are law here (docs/decisions/runtime.md):
// - no address of garbage-collected memory ever reaches the kernel: the collector moves arrays. All memory that the
//   kernel sees comes from mmap, and is looked at through views;
// - no libc wrapper makes a call that matters: there is no errno that could be trusted. Our own 45 bytes of code
//   return the kernel's -errno.
import { CFunction, dlopen, toArrayBuffer, type Pointer } from 'bun:ffi'

const PAGE = 4096
const [PROT_READ, PROT_WRITE, PROT_EXEC] = [1, 2, 4]
const [MAP_PRIVATE, MAP_ANONYMOUS] = [2, 32]
const NR_MMAP = 9
const NR_MUNMAP = 11

/** The block that `stub` reads: nr, six arguments, the result; eight 64-bit words. */
const BLOCK_WORDS = 8

/** Machine code from hexadecimal digits, an instruction a word: the comment behind each says what it is. */
export const machineCode = (...instructions: string[]): Uint8Array =>
  new Uint8Array(Buffer.from(instructions.join(''), 'hex'))

// Calls the system call whose block rdi points at, and stores the result in its last word.
const STUB = machineCode(
  '53', // push rbx
  '4889fb', // mov rbx, rdi
  '488b03', // mov rax, [rbx]
  '488b7b08', // mov rdi, [rbx+8]
  '488b7310', // mov rsi, [rbx+16]
  '488b5318', // mov rdx, [rbx+24]
  '4c8b5320', // mov r10, [rbx+32]
  '4c8b4328', // mov r8, [rbx+40]
  '4c8b4b30', // mov r9, [rbx+48]
  '0f05', // syscall
  '48894338', // mov [rbx+56], rax
  '5b', // pop rbx
  'c3', // ret
)

// libc serves once, to map the first pages; its results are pointers or -1, so errno is not needed.
const libc = dlopen('libc.so.6', {
  mmap: { args: ['usize', 'usize', 'i32', 'i32', 'i32', 'i64'], returns: 'ptr' },
  mprotect: { args: ['usize', 'usize', 'i32'], returns: 'i32' },
})

function firstPage(): number {
  const at = Number(libc.symbols.mmap(0, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0))
  if (!(at > 0)) throw new Error('cannot map memory for the system call stub')
  return at
}

const view = (address: number, length: number): ArrayBuffer => toArrayBuffer(address, 0, length)

function codePage(code: Uint8Array): number {
  const at = firstPage()
  new Uint8Array(view(at, code.length)).set(code)
  if (libc.symbols.mprotect(at, PAGE, PROT_READ | PROT_EXEC) !== 0)
    throw new Error('cannot make the system call stub executable: does a security policy forbid it?')
  return at
}

const stub = CFunction({ ptr: codePage(STUB) as Pointer, args: ['usize'], returns: 'void' })

const blockAt = firstPage()
const words = new Uint32Array(view(blockAt, BLOCK_WORDS * 8))
const result64 = new BigInt64Array(view(blockAt, BLOCK_WORDS * 8))
const arguments64 = new BigUint64Array(view(blockAt, BLOCK_WORDS * 8))

/** An argument of a call: a number within ±2^53, or a bigint of 64 bits. */
export type Word = number | bigint

function put(index: number, value: Word): void {
  if (typeof value === 'bigint') {
    arguments64[index] = value
    return
  }
  // Two halves: BigInt64Array writes from numbers cost twice as much (docs/decisions/runtime.md).
  words[2 * index] = value
  words[2 * index + 1] = Math.floor(value / 0x1_0000_0000)
}

/**
 * Makes system call `nr` and returns the kernel's answer: a result, or `-errno`.
 * Exact within ±2^53; use `syscall64` where all 64 bits of a result matter.
 */
export function syscall(
  nr: number,
  a0: Word = 0,
  a1: Word = 0,
  a2: Word = 0,
  a3: Word = 0,
  a4: Word = 0,
  a5: Word = 0,
): number {
  words[0] = nr
  words[1] = 0
  put(1, a0)
  put(2, a1)
  put(3, a2)
  put(4, a3)
  put(5, a4)
  put(6, a5)
  stub(blockAt)
  return (words[14] as number) + (words[15]! | 0) * 0x1_0000_0000
}

/** `syscall`, with the whole 64-bit result. */
export function syscall64(
  nr: number,
  a0: Word = 0,
  a1: Word = 0,
  a2: Word = 0,
  a3: Word = 0,
  a4: Word = 0,
  a5: Word = 0,
): bigint {
  syscall(nr, a0, a1, a2, a3, a4, a5)
  return result64[7]!
}

/** Makes own machine code callable: `entry(address)` runs it with rdi = address. The page is never unmapped. */
export function loadCode(code: Uint8Array): (address: number) => void {
  if (code.length > PAGE) throw new RangeError('own code must fit a page')
  const entry = CFunction({ ptr: codePage(code) as Pointer, args: ['usize'], returns: 'void' })
  return address => void entry(address)
}

/** A view of memory that the kernel or own code may address: `length` bytes at `address`, which must be mapped. */
export function bytesAt(address: number, length: number): Uint8Array {
  return new Uint8Array(view(address, length))
}

/**
 * Memory of fixed address, outside the collector's reach, in bump-allocated pieces.
 * `using` a piece list is not needed: `mark()` and `release(mark)` bracket what a function takes.
 */
export class Arena {
  readonly address: number
  readonly size: number
  #bytes: Uint8Array | undefined
  #view: DataView | undefined
  #used = 0

  constructor(size: number) {
    this.size = Math.ceil(size / PAGE) * PAGE
    this.address = syscall(NR_MMAP, 0, this.size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    if (this.address < 0) throw new Error(`cannot map ${this.size} bytes: errno ${-this.address}`)
  }

  // Views are made when they are first looked at: the collector counts their memory as its own, and runs for it, in the
  // middle of a freeze (docs/performance.md). A buffer that only the kernel fills and empties needs none.
  get bytes(): Uint8Array {
    return (this.#bytes ??= bytesAt(this.address, this.size))
  }

  get view(): DataView {
    return (this.#view ??= new DataView(this.bytes.buffer, this.bytes.byteOffset, this.size))
  }

  /** Takes `size` bytes, zeroed, aligned to 8; the address. */
  take(size: number): number {
    const offset = (this.#used + 7) & ~7
    if (offset + size > this.size) throw new RangeError(`arena of ${this.size} bytes is full (${size} more asked)`)
    this.#used = offset + size
    this.bytes.fill(0, offset, offset + size)
    return this.address + offset
  }

  /** Copies `data` into the arena; its address. */
  put(data: Uint8Array): number {
    const offset = (this.#used + 7) & ~7
    if (offset + data.length > this.size)
      throw new RangeError(`arena of ${this.size} bytes is full (${data.length} more asked)`)
    this.#used = offset + data.length
    this.bytes.set(data, offset)
    return this.address + offset
  }

  /** The bytes at an address that `take` or `put` gave: a view, not a copy. */
  at(address: number, length: number): Uint8Array {
    return this.bytes.subarray(address - this.address, address - this.address + length)
  }

  mark(): number {
    return this.#used
  }

  release(mark: number): void {
    this.#used = mark
  }

  unmap(): void {
    syscall(NR_MUNMAP, this.address, this.size)
  }
}
