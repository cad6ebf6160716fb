// Threads that were stopped in the vdso: they are let out of it before they are dumped. Its code is that of this kernel,
// and in the middle of a function nobody can go on whose next kernel has another one.
import { BardoError } from '../base/errors.ts'
import { log } from '../base/log.ts'
import { SIGTRAP } from '../linux/constants.ts'
import { REG } from '../linux/arch/x86-64.ts'
import { getRegisters, step, waitFor } from './ptrace.ts'
import type { Thread } from './stopped.ts'

/** Its functions take a hundred instructions; while the kernel writes the time they turn in a circle. */
const STEPS_MAX = 5000

/**
 * Steps threads that are in [start, end), and in no stop for job control, to where they came from. A signal that comes
 * meanwhile is delivered as it would be without us. Whether there were any.
 *
 * The end of a step is a SIGTRAP. `ignored` are the signals that the process ignores: forced upon one that ignores or
 * blocks it, it would take that away (test/kernel/step-takes-sigtrap.test.ts). Such a thread stays where it is, and goes
 * on only on a kernel with the same vdso.
 */
export function leaveVdso(
  threads: readonly Thread[],
  { start, end }: { readonly start: number; readonly end: number },
  ignored: bigint,
): boolean {
  const trap = 1n << BigInt(SIGTRAP - 1)
  let led = false
  for (const thread of threads) {
    const { tid } = thread
    const first = Number(thread.registers[REG.ip])
    if (first < start || first >= end) continue
    if (thread.groupStop !== 0 || ((thread.sigmask | ignored) & trap) !== 0n) continue
    led = true
    let ip = first
    let signal = 0
    for (let steps = 0; signal !== 0 || (ip >= start && ip < end && steps < STEPS_MAX); steps++) {
      step(tid, signal)
      const stop = waitFor(tid)
      if (stop.kind !== 'stopped') throw new BardoError('lost', `thread ${tid} ended while it was stopped`)
      signal = stop.event === 0 && stop.signal !== SIGTRAP ? stop.signal : 0
      ip = Number(getRegisters(tid)[REG.ip])
    }
    log.debug(() => `thread ${tid} was in the vdso, at ${first.toString(16)}, and is at ${ip.toString(16)} now`)
    thread.refresh()
  }
  return led
}
