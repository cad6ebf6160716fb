// What is particular to x86-64: registers, and the machine code that runs in a stopped task.
import { machineCode } from '../ffi.ts'

/** Indexes into `struct user_regs_struct` (sys/user.h): 27 words of 64 bits. */
export const REG = {
  r15: 0,
  r14: 1,
  r13: 2,
  r12: 3,
  bp: 4,
  bx: 5,
  r11: 6,
  r10: 7,
  r9: 8,
  r8: 9,
  ax: 10,
  cx: 11,
  dx: 12,
  si: 13,
  di: 14,
  orig_ax: 15,
  ip: 16,
  cs: 17,
  flags: 18,
  sp: 19,
  ss: 20,
  fs_base: 21,
  gs_base: 22,
  ds: 23,
  es: 24,
  fs: 25,
  gs: 26,
} as const

export const REG_COUNT = 27

/** The general registers of a thread, as PTRACE_GETREGSET NT_PRSTATUS gives them. */
export type Registers = BigUint64Array

/** A `syscall` instruction's length: the distance by which a call that must be made again is wound back. */
export const SYSCALL_LENGTH = 2n

/** Lowest and highest addresses that a task may map (mmap_min_addr's default, TASK_SIZE of four-level paging). */
export const MAP_LOWEST = 0x10000
export const TASK_SIZE = 0x7fff_ffff_f000

/**
 * The loop that runs a table of calls. rbx: the first entry. r12: the tail block. It uses no stack.
 *
 * An entry is nine words: `nr | flags << 32`, six arguments, `dst`, `ret`. The result goes to `ret` and, where `dst` is
 * set, also to the address `dst`. Flags: 1 the last entry, 2 may fail, 4 `dst` is 32 bits wide. The table ends at its
 * last entry, or at the first result that is an error and may not be.
 *
 * It ends in `tgkill(self, a signal that the task ignores)`: that stops a traced task, and does nothing to one whose
 * tracer is gone (test/kernel/ignored-signal-stops-traced.test.ts). Behind it the undo table of the tail block is run, once,
 * and then every register is loaded from the tail block: so a task that lost its tracer goes on as if nothing had been.
 *
 *   loop:  load rdi rsi rdx r10 r8 r9 eax from the entry; syscall; store ret
 *          error and not flag 2: stop. dst: store, 64 or 32 bits. flag 1: stop. next entry
 *   stop:  tgkill([r12], [r12+4], [r12+8])
 *   after: rbx = undo ([r12+16]); if any: clear it, loop
 *          rsp = r12+24; popfq; rax rbx rcx rdx rsi rdi r8 r9 r10 r11 rsp from [r12+32…]; jump to r12+120
 */
export const TABLE_LOOP = machineCode(
  '488b7b08488b7310488b53184c8b53204c8b43284c8b4b308b030f05' +
    '48894340483d01f0ffff7208f64304027424eb16' +
    '488b4b384885c9740df64304047505488901eb028901' +
    'f643040175064883c348ebae' +
    'b8ea000000418b3c24418b742404418b5424080f05' +
    '498b5c24104885db740b49c744241000000000eb84' +
    '498d6424189d498b442420498b5c2428498b4c2430498b542438498b742440498b7c2448' +
    '4d8b4424504d8b4c24584d8b5424604d8b5c2468498b642470' +
    '4d8d64247841ffe4',
)

/** Where the loop stands when its `tgkill` stopped the task: just behind that call. */
export const TABLE_LOOP_STOPPED = 0x67

/** Its `syscall` instruction. */
export const TABLE_LOOP_SYSCALL = 0x1a

export const ENTRY_SIZE = 72
export const ENTRY_RET = 64
export const ENTRY_LAST = 1
export const ENTRY_MAY_FAIL = 2
export const ENTRY_DST_32 = 4

/** The tail block: pid, tid, signal, undo table, flags, ten registers, rsp, then the code that loads r12 and jumps. */
export const TAIL_SIZE = 160
export const TAIL_UNDO = 16

/** Fills a tail block at `offset` of `view` with the registers that the task is to go on with. */
export function writeTail(
  view: DataView,
  offset: number,
  regs: Registers,
  pid: number,
  tid: number,
  signal: number,
): void {
  view.setUint32(offset, pid, true)
  view.setUint32(offset + 4, tid, true)
  view.setUint32(offset + 8, signal, true)
  view.setBigUint64(offset + TAIL_UNDO, 0n, true)
  const order = ['flags', 'ax', 'bx', 'cx', 'dx', 'si', 'di', 'r8', 'r9', 'r10', 'r11', 'sp'] as const
  order.forEach((name, index) => view.setBigUint64(offset + 24 + 8 * index, regs[REG[name]]!, true))
  view.setUint16(offset + 120, 0xbc49, true) // movabs r12, imm64
  view.setBigUint64(offset + 122, regs[REG.r12]!, true)
  view.setUint16(offset + 130, 0x25ff, true) // jmp [rip+0]
  view.setUint32(offset + 132, 0, true)
  view.setBigUint64(offset + 136, regs[REG.ip]!, true)
}

/** What a task is to go on with that loses its tracer around a call made by boot code. */
export type BootTail = {
  readonly regs: Registers
  readonly sigmask: bigint
  /** Its ids as it sees them itself, and the signal that stops it: as in a tail block. */
  readonly pid: number
  readonly tid: number
  readonly signal: number
  /** For mmap: so many bytes of what it has mapped are unmapped again. */
  readonly unmap: number
}

const BOOT_HEAD = machineCode('0f054989c0') // syscall; mov r8, rax
const BOOT_LOADS = [
  [0xb848, 'ax'],
  [0xb948, 'cx'],
  [0xba48, 'dx'],
  [0xbe48, 'si'],
  [0xbf48, 'di'],
  [0xb849, 'r8'],
  [0xb949, 'r9'],
  [0xba49, 'r10'],
  [0xbb49, 'r11'],
] as const
const BOOT_STOP_SIZE = 4 * 5 + 2
const BOOT_UNMAP_SIZE = 3 + 2 * 5 + 2
const BOOT_MASK_SIZE = 5 + 7 + 5 + 6 + 5 + 2
const BOOT_JUMP_SIZE = 6 + 8
const BOOT_MASK_AT =
  BOOT_HEAD.length + BOOT_STOP_SIZE + BOOT_UNMAP_SIZE + BOOT_MASK_SIZE + BOOT_LOADS.length * 10 + BOOT_JUMP_SIZE

export const BOOT_SIZE = BOOT_MASK_AT + 8

/** Where boot code stands when its `tgkill` stopped the task. The call's answer is in r8. */
export const BOOT_STOPPED = BOOT_HEAD.length + BOOT_STOP_SIZE

/**
 * One `syscall`; then `tgkill(self, a signal that the task ignores)`, which stops a traced task and nothing else. Not a
 * single step: a task that loses its tracer at one is killed by the SIGTRAP. Behind it, for a task whose tracer is gone:
 * what was mapped is unmapped, the signal mask and every register are put back, and a jump leads to where it was.
 * It touches neither the stack, the flags nor the FPU.
 */
export function bootCode({ regs, sigmask, pid, tid, signal, unmap }: BootTail): Uint8Array {
  const code = new Uint8Array(BOOT_SIZE)
  const view = new DataView(code.buffer)
  let at = 0
  const put = (...values: number[]): void => {
    code.set(values, at)
    at += values.length
  }
  const load32 = (opcode: number, value: number): void => {
    put(opcode)
    view.setUint32(at, value, true)
    at += 4
  }
  const [intoEax, intoEdx, intoEsi, intoEdi] = [0xb8, 0xba, 0xbe, 0xbf]
  const call = (nr: number): void => {
    load32(intoEax, nr)
    put(0x0f, 0x05)
  }
  put(...BOOT_HEAD)
  load32(intoEdi, pid)
  load32(intoEsi, tid)
  load32(intoEdx, signal)
  call(234) // tgkill
  put(0x4c, 0x89, 0xc7) // mov rdi, r8
  load32(intoEsi, unmap) // of no bytes: EINVAL
  call(11) // munmap
  load32(intoEdi, 2) // SIG_SETMASK
  put(0x48, 0x8d, 0x35) // lea rsi, [rip + …]
  view.setInt32(at, BOOT_MASK_AT - at - 4, true)
  at += 4
  load32(intoEdx, 0)
  put(0x41)
  load32(intoEdx, 8) // with 0x41: r10d
  call(14) // rt_sigprocmask
  for (const [movabs, name] of BOOT_LOADS) {
    view.setUint16(at, movabs, true)
    view.setBigUint64(at + 2, regs[REG[name]]!, true)
    at += 10
  }
  view.setUint16(at, 0x25ff, true) // jmp [rip+0]
  view.setUint32(at + 2, 0, true)
  view.setBigUint64(at + 6, regs[REG.ip]!, true)
  view.setBigUint64(BOOT_MASK_AT, sigmask, true)
  return code
}

/** Whether these BOOT_SIZE bytes are boot code, whatever the numbers in it: what a run that was killed has left. */
export function isBootCode(code: Uint8Array): boolean {
  const last = BOOT_MASK_AT - BOOT_JUMP_SIZE
  return BOOT_HEAD.every((byte, index) => code[index] === byte) && code[last] === 0xff && code[last + 1] === 0x25
}
