// Signals that wait to be delivered, of a thread or of its whole process, in their order and with their siginfo.
import { BardoError } from '../../base/errors.ts'
import type { signal_queue_entry } from '../../image/messages/signals.ts'
import { pendingSignals } from '../../tracee/ptrace.ts'
import type { TaskBuild } from '../kind.ts'

export function readPending(tid: number, shared: boolean): signal_queue_entry {
  return { signals: pendingSignals(tid, shared).map(siginfo => ({ siginfo })) }
}

const SIGINFO_BYTES = 128

/** The number of the signal that a siginfo_t is of, whose first word it is. */
function signalOf(siginfo: Uint8Array): number {
  const signal = siginfo.length < 4 ? 0 : new DataView(siginfo.buffer, siginfo.byteOffset).getInt32(0, true)
  if (signal < 1 || signal > 64)
    throw new BardoError('bad-image', `a signal ${signal} that waits to be delivered is none`)
  return signal
}

/** The signals of a queue, as bits (n-1 for signal n). Throws `bad-image` for what is no signal. */
export function pendingMask(queue: signal_queue_entry | undefined): bigint {
  let mask = 0n
  for (const { siginfo } of queue?.signals ?? []) mask |= 1n << BigInt(signalOf(siginfo) - 1)
  return mask
}

/**
 * Queues the signals again. A task may queue to itself what no other may: siginfo of the kernel's own making
 * (rt_sigqueueinfo(2); si_code >= 0). `pid` and `tid` are as the task sees them.
 */
export function restorePending(
  queue: signal_queue_entry | undefined,
  pid: number,
  tid: number | undefined,
  at: TaskBuild,
): void {
  for (const { siginfo } of queue?.signals ?? []) {
    const info = new Uint8Array(SIGINFO_BYTES)
    info.set(siginfo.subarray(0, SIGINFO_BYTES))
    if (tid === undefined) at.call('rt_sigqueueinfo', pid, signalOf(siginfo), at.memory(info))
    else at.call('rt_tgsigqueueinfo', pid, tid, signalOf(siginfo), at.memory(info))
  }
}
