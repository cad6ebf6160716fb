// The runtime's own threads (compiler, collector): they must not take the CPU from the one that has tasks stopped.
import { AT_FDCWD } from './constants.ts'
import { syscall } from './ffi.ts'
import { NR } from './nr.ts'
import { readDirectory, scratch } from './sys.ts'

const SCHED_IDLE = 5

/**
 * Lets every thread of ours but the main one run only on a CPU that has nothing else to do (sched(7), SCHED_IDLE).
 * A run is short: what they would compile is hardly used again, and woken threads push the main thread off its CPU.
 */
export function quietOwnThreads(): void {
  const own = syscall(NR.gettid)
  const mark = scratch.mark()
  const param = scratch.take(8)
  for (const name of readDirectory(AT_FDCWD, '/proc/self/task')) {
    const tid = Number(name)
    if (tid !== own) syscall(NR.sched_setscheduler, tid, SCHED_IDLE, param)
  }
  scratch.release(mark)
}
