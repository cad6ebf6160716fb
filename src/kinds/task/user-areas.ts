// Places in a thread's own memory that the kernel keeps for it: the alternative signal stack, the word that it clears
// and wakes at the thread's end, the list of robust futexes, and the rseq area.
import type { rseq_entry, thread_sas_entry } from '../../image/messages/core.ts'
import { PR_GET_TID_ADDRESS } from '../../linux/constants.ts'
import { NR } from '../../linux/nr.ts'
import { refusal, scratch } from '../../linux/sys.ts'
import { syscall } from '../../linux/ffi.ts'
import type { Rseq } from '../../tracee/ptrace.ts'
import type { TaskBuild } from '../kind.ts'
import type { Question } from './question.ts'

const SS_ONSTACK = 1
/** stack_t: sp, flags and padding, size. */
const STACK_T_SIZE = 24

export const askAltStack: Question<thread_sas_entry> = table => {
  const at = table.take(STACK_T_SIZE)
  table.call('sigaltstack', [0, at])
  return () => ({ ss_sp: table.word64(at), ss_flags: table.word32(at + 8), ss_size: table.word64(at + 16) })
}

const SS_DISABLE = 2

/** A new thread has none, so that only one that is there is set. */
export function restoreAltStack(stack: thread_sas_entry, at: TaskBuild): void {
  if ((stack.ss_flags & SS_DISABLE) !== 0) return
  const bytes = new Uint8Array(STACK_T_SIZE)
  const view = new DataView(bytes.buffer)
  view.setBigUint64(0, stack.ss_sp, true)
  // SS_ONSTACK is told, not set: whether a thread is on its stack follows from its stack pointer.
  view.setUint32(8, (stack.ss_flags & ~SS_ONSTACK) >>> 0, true)
  view.setBigUint64(16, stack.ss_size, true)
  at.call('sigaltstack', at.memory(bytes), 0)
}

/** The address that set_tid_address(2) or clone set; 0 for none. Kernels without checkpoint support refuse. */
export const askClearTid: Question<bigint> = table => {
  const at = table.take(8)
  table.call('prctl', [PR_GET_TID_ADDRESS, at], { mayFail: true })
  return () => table.word64(at)
}

/** The head of the robust list and its length (get_robust_list(2)), asked from outside. */
export function readRobustList(tid: number): { head: bigint; length: number } {
  const mark = scratch.mark()
  const at = scratch.take(16)
  const result = syscall(NR.get_robust_list, tid, at, at + 8)
  if (result < 0) throw refusal('get_robust_list', result, tid)
  const head = scratch.view.getBigUint64(at - scratch.address, true)
  const length = Number(scratch.view.getBigUint64(at + 8 - scratch.address, true))
  scratch.release(mark)
  return { head, length: head === 0n ? 0 : length }
}

export const rseqToImage = (rseq: Rseq | undefined): rseq_entry | undefined =>
  rseq && { rseq_abi_pointer: rseq.pointer, rseq_abi_size: rseq.size, signature: rseq.signature }

export function restoreRseq(rseq: rseq_entry, at: TaskBuild): void {
  if (rseq.rseq_abi_pointer === 0n) return
  at.call('rseq', rseq.rseq_abi_pointer, rseq.rseq_abi_size, 0, rseq.signature)
}
