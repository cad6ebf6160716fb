// What becomes of a call that the dump has cut short, as far as it is in the registers: docs/decisions/timed-calls.md.
import { BardoError } from '../base/errors.ts'
import type { thread_core_entry } from '../image/messages/core.ts'
import { EINTR } from '../linux/constants.ts'
import { REG, SYSCALL_LENGTH, type Registers } from '../linux/arch/x86-64.ts'
import type { ThreadState } from '../program/program.ts'
import { isMadeAgain, isTimedCall } from '../tracee/timed-call.ts'

const INTERRUPTED = BigInt.asUintN(64, BigInt(-EINTR))

/**
 * Lets a thread make the call again which the dump itself made answer EINTR. Our dumps have done so already; images of
 * CRIU hold the answer, and the call that gave it: the kernel forgets that as soon as the program runs on. A signal
 * that is to be delivered has made it, and it stays.
 */
export function makeAgain(registers: Registers, deliverable: bigint): void {
  const nr = Number(BigInt.asIntN(64, registers[REG.orig_ax]!))
  if (registers[REG.ax] !== INTERRUPTED || deliverable !== 0n || !isMadeAgain(nr)) return
  registers[REG.ip]! -= SYSCALL_LENGTH
  registers[REG.ax] = BigInt(nr)
  registers[REG.orig_ax] = BigInt.asUintN(64, -1n)
}

/**
 * The timed call that a thread takes up again. Images of CRIU do not say so: there a call that has a timeout and answers
 * EINTR is one that the dump cut short, since a signal of the program's own would have been taken up by its handler.
 */
export function timedCall(state: thread_core_entry, registers: Registers, where: string): ThreadState['timed'] {
  const nr =
    state.timed_call ?? (registers[REG.ax] === INTERRUPTED ? Number(BigInt.asIntN(64, registers[REG.orig_ax]!)) : -1)
  if (isTimedCall(nr)) return { nr, left_ns: state.timed_left_ns }
  if (state.timed_call === undefined) return undefined
  throw new BardoError('bad-image', `call ${nr} has no timeout to be taken up`, { where })
}
