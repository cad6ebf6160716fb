// Calls that a stop cut short, and that nobody takes up again unless we do. Some answer EINTR to any stop, and can simply be
// made again. Of those with a timeout (nanosleep, poll, futex) the kernel keeps what is left of their time in the task (the
// restart block), which no image can hold; a restored task is put into the call again instead, so that the program goes
// on sleeping. CRIU lets all of them answer EINTR, of which programs die that never saw a signal.
import { REG } from '../linux/arch/x86-64.ts'
import { NR } from '../linux/nr.ts'
import { readMemory } from './memory.ts'
import type { Thread } from './stopped.ts'

const TIMER_ABSTIME = 1

/** The calls that have a restart block (kernel: restart_block.fn), and the argument that holds their timeout. */
const TIMED: ReadonlyMap<number, 'nanosleep' | 'clock_nanosleep' | 'poll' | 'futex'> = new Map([
  [NR.nanosleep, 'nanosleep'],
  [NR.clock_nanosleep, 'clock_nanosleep'],
  [NR.poll, 'poll'],
  [NR.futex, 'futex'],
])

/**
 * Calls that answer EINTR after any stop, also one of ours, and that have done nothing then (signal(7);
 * test/kernel/interrupted-calls.test.ts). Those of sockets do so where a timeout is set (SO_RCVTIMEO, SO_SNDTIMEO).
 */
const MADE_AGAIN: ReadonlySet<number> = new Set([
  NR.epoll_wait,
  NR.epoll_pwait,
  NR.epoll_pwait2,
  NR.semop,
  NR.semtimedop,
  NR.rt_sigtimedwait,
  NR.io_getevents,
  NR.io_pgetevents,
  NR.msgrcv,
  NR.msgsnd,
  NR.read,
  NR.readv,
  NR.recvfrom,
  NR.recvmsg,
  NR.recvmmsg,
  NR.write,
  NR.writev,
  NR.sendto,
  NR.sendmsg,
  NR.sendmmsg,
  NR.accept,
  NR.accept4,
  NR.connect,
])

export const isMadeAgain = (nr: number): boolean => MADE_AGAIN.has(nr)
export const isTimedCall = (nr: number): boolean => TIMED.has(nr)

/** `mov eax, imm32` in front of a `syscall`: how C libraries and Go give the number of a call that they know. */
const MOV_EAX = 0xb8
const BEFORE = 7

/**
 * The number of the timed call that `thread` was stopped in; undefined where that cannot be told. One that was stopped
 * before has become restart_syscall(2) meanwhile, which hides its number: the instruction in front of the call tells it.
 */
export function timedCallOf(thread: Thread): number | undefined {
  const nr = Number(thread.registers[REG.orig_ax])
  if (nr !== NR.restart_syscall) return TIMED.has(nr) ? nr : undefined
  const code = readMemory(thread.tid, Number(thread.registers[REG.ip]) - BEFORE, BEFORE)
  if (code[5] !== 0x0f || code[6] !== 0x05) return undefined
  const before = new DataView(code.buffer, code.byteOffset).getUint32(1, true)
  if (code[0] === MOV_EAX && TIMED.has(before)) return before
  return guessByArguments(thread)
}

const FUTEX_WAIT = 0
const FUTEX_WAIT_BITSET = 9
const FUTEX_FLAGS = 0x180 // FUTEX_PRIVATE_FLAG, FUTEX_CLOCK_REALTIME
const POINTER_MIN = 0x10000n

/**
 * syscall(3) of the C library takes the number as an argument, and its instruction tells nothing: then the arguments
 * must. Each form has pointers where the others have small numbers; what fits none answers EINTR, as CRIU's do.
 */
function guessByArguments(thread: Thread): number | undefined {
  const regs = thread.registers
  const [a0, a1, a2, a3] = [regs[REG.di]!, regs[REG.si]!, regs[REG.dx]!, regs[REG.r10]!]
  const isTimespec = (at: bigint): boolean => {
    try {
      const bytes = readMemory(thread.tid, Number(at), 16)
      const view = new DataView(bytes.buffer, bytes.byteOffset)
      const [seconds, ns] = [view.getBigInt64(0, true), view.getBigInt64(8, true)]
      return seconds >= 0n && ns >= 0n && ns < 1_000_000_000n
    } catch {
      return false
    }
  }
  const operation = Number(a1 & ~BigInt(FUTEX_FLAGS))
  if (
    (operation === FUTEX_WAIT || operation === FUTEX_WAIT_BITSET) &&
    a0 >= POINTER_MIN &&
    a0 % 4n === 0n &&
    isTimespec(a3)
  )
    return NR.futex
  if (a0 >= POINTER_MIN && (a1 === 0n || a1 >= POINTER_MIN) && isTimespec(a0)) return NR.nanosleep
  if (a0 < 16n && a1 === 0n && isTimespec(a2)) return NR.clock_nanosleep
  return undefined
}

function readTimespec(pid: number, at: bigint): bigint | undefined {
  if (at === 0n) return undefined
  const bytes = readMemory(pid, Number(at), 16)
  const view = new DataView(bytes.buffer, bytes.byteOffset)
  return view.getBigInt64(0, true) * 1_000_000_000n + view.getBigInt64(8, true)
}

/**
 * What is left of the time of timed call `nr` that `thread` was stopped in, in nanoseconds; undefined where it is not known.
 * Sleeps tell it: the kernel has written the rest to the caller's `rem` (test/kernel/nanosleep-rem.test.ts). Others do
 * not, and begin again with their whole timeout.
 */
export function timeLeft(thread: Thread, nr: number): bigint | undefined {
  const regs = thread.registers
  switch (TIMED.get(nr)) {
    case 'nanosleep':
      return readTimespec(thread.tid, regs[REG.si]!)
    case 'clock_nanosleep':
      return (regs[REG.si]! & BigInt(TIMER_ABSTIME)) === 0n ? readTimespec(thread.tid, regs[REG.r10]!) : undefined
    default:
      return undefined
  }
}

/** The arguments of a timed call, with its timeout replaced by one that lies at `leftAt` in the task, where that is known. */
export function argumentsAgain(nr: number, args: readonly bigint[], leftAt: bigint | undefined): bigint[] {
  const again = [...args]
  if (leftAt === undefined) return again
  const kind = TIMED.get(nr)
  if (kind === 'nanosleep') again[0] = leftAt
  else if (kind === 'clock_nanosleep') again[2] = leftAt
  return again
}
