// The tracer on the CPU of its tracee: a ptrace round trip then costs a third (two context switches, and no other CPU to
// be woken).
import { AT_FDCWD, ENOENT, ESRCH } from '../linux/constants.ts'
import { syscall } from '../linux/ffi.ts'
import { NR } from '../linux/nr.ts'
import { parseStat } from '../linux/proc/stat.ts'
import { readFile, scratch } from '../linux/sys.ts'

const MASK_BYTES = 1024

/** Pins our main thread to the CPU on which `pid` (0: we) ran last; our own CPUs come back when it is disposed of. */
export class CpuPin {
  readonly #before: Uint8Array | undefined

  constructor(pid: number) {
    const mark = scratch.mark()
    const at = scratch.take(MASK_BYTES)
    const n = syscall(NR.sched_getaffinity, 0, MASK_BYTES, at)
    this.#before = n > 0 ? scratch.at(at, n).slice() : undefined
    const stat = readFile(AT_FDCWD, `/proc/${pid === 0 ? 'self' : pid}/stat`, [ENOENT, ESRCH])
    if (this.#before !== undefined && stat !== undefined) {
      const cpu = parseStat(stat).processor
      scratch.at(at, MASK_BYTES).fill(0)
      scratch.bytes[at - scratch.address + (cpu >> 3)] = 1 << (cpu & 7)
      // A CPU that is not ours is refused: then we stay where we are, only slower.
      syscall(NR.sched_setaffinity, 0, MASK_BYTES, at)
    }
    scratch.release(mark)
  }

  [Symbol.dispose](): void {
    if (this.#before === undefined) return
    const mark = scratch.mark()
    syscall(NR.sched_setaffinity, 0, this.#before.length, scratch.put(this.#before))
    scratch.release(mark)
  }
}
