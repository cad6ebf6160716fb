// ptrace(2), request by request. Every answer is checked: ESRCH means that the task is gone or was let go, and is `lost`.
import { BardoError } from '../base/errors.ts'
import {
  EINTR,
  EINVAL,
  EIO,
  ESRCH,
  NT_PRSTATUS,
  NT_X86_XSTATE,
  PTRACE_CONT,
  PTRACE_DETACH,
  PTRACE_GETEVENTMSG,
  PTRACE_GETREGSET,
  PTRACE_GETSIGINFO,
  PTRACE_GETSIGMASK,
  PTRACE_GET_RSEQ_CONFIGURATION,
  PTRACE_GET_THREAD_AREA,
  PTRACE_INTERRUPT,
  PTRACE_PEEKSIGINFO,
  PTRACE_SECCOMP_GET_FILTER,
  PTRACE_SECCOMP_GET_METADATA,
  PTRACE_SEIZE,
  PTRACE_SETOPTIONS,
  PTRACE_SETREGSET,
  PTRACE_SETSIGMASK,
  PTRACE_SET_THREAD_AREA,
  PTRACE_SINGLESTEP,
  PTRACE_SYSCALL,
  WALL,
  WNOHANG,
} from '../linux/constants.ts'
import { REG_COUNT, type Registers } from '../linux/arch/x86-64.ts'
import { Arena, syscall, type Word } from '../linux/ffi.ts'
import { NR } from '../linux/nr.ts'

const XSTATE_SIZE_MAX = 16 << 10
const SIGINFO_SIZE = 128
const SIGINFO_BATCH = 32

// Fixed places in one arena: ptrace is made by one thread, one request after another.
const arena = new Arena(64 << 10)
const iov = arena.take(16)
const word = arena.take(8)
const regsAt = arena.take(REG_COUNT * 8)
const siginfoAt = arena.take(SIGINFO_SIZE * SIGINFO_BATCH)
const peekAt = arena.take(16)
const smallAt = arena.take(64)
const xstateAt = arena.take(XSTATE_SIZE_MAX)
const filterAt = arena.take(32 << 10)
const regsView = new BigUint64Array(arena.bytes.buffer, regsAt - arena.address, REG_COUNT)

function lost(tid: number, request: string): BardoError {
  return new BardoError('lost', `task ${tid} died or was killed while it was stopped`, {
    why: `ptrace ${request} answered ESRCH`,
    hint: 'see who kills it (out of memory, a supervisor, a timeout), then try again',
  })
}

function ask(name: string, request: number, tid: number, addr: Word, data: Word): number {
  const result = syscall(NR.ptrace, request, tid, addr, data)
  if (result === -ESRCH) throw lost(tid, name)
  if (result < 0) throw new BardoError('refused', `ptrace(${name}, ${tid}) failed`, { errno: -result })
  return result
}

function setIov(base: number, length: number): void {
  arena.view.setBigUint64(iov - arena.address, BigInt(base), true)
  arena.view.setBigUint64(iov - arena.address + 8, BigInt(length), true)
}

const iovLength = (): number => Number(arena.view.getBigUint64(iov - arena.address + 8, true))

/** PTRACE_SEIZE without an error: `-errno`, since a task may be gone, a zombie, or traced by another. */
export const trySeize = (tid: number, options: number): number => syscall(NR.ptrace, PTRACE_SEIZE, tid, 0, options)

export const setOptions = (tid: number, options: number): number =>
  ask('SETOPTIONS', PTRACE_SETOPTIONS, tid, 0, options)

export const interrupt = (tid: number): number => ask('INTERRUPT', PTRACE_INTERRUPT, tid, 0, 0)
export const resume = (tid: number, signal = 0): number => ask('CONT', PTRACE_CONT, tid, 0, signal)
export const step = (tid: number, signal = 0): number => ask('SINGLESTEP', PTRACE_SINGLESTEP, tid, 0, signal)
export const resumeToSyscall = (tid: number): number => ask('SYSCALL', PTRACE_SYSCALL, tid, 0, 0)

/** Lets a task go; `-errno` when it is gone already, which is no news to who lets go. */
export const detach = (tid: number, signal = 0): number => syscall(NR.ptrace, PTRACE_DETACH, tid, 0, signal)

/** The general registers (NT_PRSTATUS), a copy. */
export function getRegisters(tid: number): Registers {
  setIov(regsAt, REG_COUNT * 8)
  ask('GETREGSET', PTRACE_GETREGSET, tid, NT_PRSTATUS, iov)
  return regsView.slice()
}

export function setRegisters(tid: number, regs: Registers): void {
  regsView.set(regs)
  setIov(regsAt, REG_COUNT * 8)
  ask('SETREGSET', PTRACE_SETREGSET, tid, NT_PRSTATUS, iov)
}

/** The whole XSAVE area in its standard format, as wide as this processor's features are (NT_X86_XSTATE). */
export function getXstate(tid: number): Uint8Array {
  setIov(xstateAt, XSTATE_SIZE_MAX)
  ask('GETREGSET', PTRACE_GETREGSET, tid, NT_X86_XSTATE, iov)
  return arena.at(xstateAt, iovLength()).slice()
}

/** The kernel wants exactly the size that it gives (arch/x86/kernel/fpu/regset.c). */
export function setXstate(tid: number, xstate: Uint8Array): void {
  arena.at(xstateAt, xstate.length).set(xstate)
  setIov(xstateAt, xstate.length)
  ask('SETREGSET', PTRACE_SETREGSET, tid, NT_X86_XSTATE, iov)
}

/** The blocked signals: bit n-1 for signal n. */
export function getSigmask(tid: number): bigint {
  ask('GETSIGMASK', PTRACE_GETSIGMASK, tid, 8, word)
  return arena.view.getBigUint64(word - arena.address, true)
}

export function setSigmask(tid: number, mask: bigint): void {
  arena.view.setBigUint64(word - arena.address, mask, true)
  ask('SETSIGMASK', PTRACE_SETSIGMASK, tid, 8, word)
}

/** What a stop of PTRACE_EVENT_… carries: the new task's id for a clone. */
export function eventMessage(tid: number): number {
  ask('GETEVENTMSG', PTRACE_GETEVENTMSG, tid, 0, word)
  return Number(arena.view.getBigUint64(word - arena.address, true))
}

/** The siginfo of a signal-delivery-stop (128 bytes); undefined in a group-stop, which has none. */
export function stopSiginfo(tid: number): Uint8Array | undefined {
  const result = syscall(NR.ptrace, PTRACE_GETSIGINFO, tid, 0, siginfoAt)
  if (result === -ESRCH) throw lost(tid, 'GETSIGINFO')
  if (result === -EINVAL) return undefined
  return arena.at(siginfoAt, SIGINFO_SIZE).slice()
}

/** The queued signals, oldest first, as siginfo of 128 bytes each: the thread's own, or (`shared`) its process's. */
export function pendingSignals(tid: number, shared: boolean): Uint8Array[] {
  const found: Uint8Array[] = []
  for (;;) {
    // struct ptrace_peeksiginfo_args: u64 off, u32 flags (1: PTRACE_PEEKSIGINFO_SHARED), s32 nr.
    const at = peekAt - arena.address
    arena.view.setBigUint64(at, BigInt(found.length), true)
    arena.view.setUint32(at + 8, shared ? 1 : 0, true)
    arena.view.setInt32(at + 12, SIGINFO_BATCH, true)
    const n = ask('PEEKSIGINFO', PTRACE_PEEKSIGINFO, tid, peekAt, siginfoAt)
    for (let index = 0; index < n; index++) found.push(arena.at(siginfoAt + index * SIGINFO_SIZE, SIGINFO_SIZE).slice())
    if (n < SIGINFO_BATCH) return found
  }
}

/** A registered rseq area. */
export type Rseq = { readonly pointer: bigint; readonly size: number; readonly signature: number }

/** The registered rseq area (Linux 5.13); undefined when none is registered or the kernel has no rseq. */
export function rseqConfiguration(tid: number): Rseq | undefined {
  // struct ptrace_rseq_configuration: u64 rseq_abi_pointer, u32 rseq_abi_size, u32 signature, u32 flags, u32 pad.
  const result = syscall(NR.ptrace, PTRACE_GET_RSEQ_CONFIGURATION, tid, 24, smallAt)
  if (result === -ESRCH) throw lost(tid, 'GET_RSEQ_CONFIGURATION')
  if (result < 0) return undefined
  const at = smallAt - arena.address
  const pointer = arena.view.getBigUint64(at, true)
  if (pointer === 0n) return undefined
  return { pointer, size: arena.view.getUint32(at + 8, true), signature: arena.view.getUint32(at + 12, true) }
}

/** One of the three TLS entries of the GDT (12..14) as the 16 bytes of struct user_desc. */
export function getThreadArea(tid: number, entry: number): Uint8Array | undefined {
  const result = syscall(NR.ptrace, PTRACE_GET_THREAD_AREA, tid, entry, smallAt)
  if (result === -ESRCH) throw lost(tid, 'GET_THREAD_AREA')
  // EIO: the kernel was built without 32-bit emulation, so there are no such entries.
  if (result === -EIO || result < 0) return undefined
  return arena.at(smallAt, 16).slice()
}

export function setThreadArea(tid: number, entry: number, desc: Uint8Array): void {
  arena.at(smallAt, 16).set(desc)
  ask('SET_THREAD_AREA', PTRACE_SET_THREAD_AREA, tid, entry, smallAt)
}

/** The nth seccomp filter, oldest first, as `struct sock_filter`s of 8 bytes; undefined behind the last. */
export function seccompFilter(tid: number, index: number): { filter: Uint8Array; flags: number } | undefined {
  const n = syscall(NR.ptrace, PTRACE_SECCOMP_GET_FILTER, tid, index, filterAt)
  if (n === -ESRCH) throw lost(tid, 'SECCOMP_GET_FILTER')
  if (n < 0) {
    if (n === -2) return undefined
    throw new BardoError('refused', `ptrace(SECCOMP_GET_FILTER, ${tid}, ${index}) failed`, { errno: -n })
  }
  const filter = arena.at(filterAt, n * 8).slice()
  // struct seccomp_metadata: u64 filter_off, u64 flags.
  const at = smallAt - arena.address
  arena.view.setBigUint64(at, BigInt(index), true)
  arena.view.setBigUint64(at + 8, 0n, true)
  const meta = syscall(NR.ptrace, PTRACE_SECCOMP_GET_METADATA, tid, 16, smallAt)
  return { filter, flags: meta < 0 ? 0 : Number(arena.view.getBigUint64(at + 8, true)) }
}

/** A wait status, taken apart (wait(2), ptrace(2)). */
export type Stop =
  | { kind: 'exited'; code: number }
  | { kind: 'killed'; signal: number }
  | { kind: 'stopped'; signal: number; event: number }

export function readStatus(status: number): Stop {
  if ((status & 0x7f) === 0) return { kind: 'exited', code: (status >> 8) & 0xff }
  if ((status & 0xff) === 0x7f) return { kind: 'stopped', signal: (status >> 8) & 0xff, event: status >> 16 }
  return { kind: 'killed', signal: status & 0x7f }
}

/**
 * Waits for task `tid` to stop or end. By explicit id: a wait for any child would steal the runtime's own.
 * With `now`, undefined when nothing has happened yet.
 */
export function waitFor(tid: number): Stop
export function waitFor(tid: number, now: true): Stop | undefined
export function waitFor(tid: number, now = false): Stop | undefined {
  for (;;) {
    const result = syscall(NR.wait4, tid, word, WALL | (now ? WNOHANG : 0), 0)
    if (result === -EINTR) continue
    if (result < 0) throw lost(tid, 'wait')
    if (result === 0) return undefined
    return readStatus(arena.view.getInt32(word - arena.address, true))
  }
}
