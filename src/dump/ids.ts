// Which kernel objects tasks share, as numbers: tasks with the same number share the object (kcmp(2)).
import { KCMP_FILES, KCMP_FS, KCMP_SIGHAND, KCMP_VM } from '../linux/constants.ts'
import { syscall } from '../linux/ffi.ts'
import { NR } from '../linux/nr.ts'
import { refusal } from '../linux/sys.ts'

/** kcmp's answer: 0 equal, 1 less, 2 greater, 3 unequal without order. */
export function kcmp(a: number, b: number, type: number, index1 = 0, index2 = 0): number {
  const result = syscall(NR.kcmp, a, b, type, index1, index2)
  if (result < 0) throw refusal('kcmp', result, a, b, type)
  return result
}

/** Numbers for objects of one type, given in the order of asking; a sorted list, so n tasks cost n log n calls. */
class Numbering {
  readonly #type: number
  readonly #sorted: { readonly pid: number; readonly id: number }[] = []
  #next: number

  constructor(type: number, first: number) {
    this.#type = type
    this.#next = first
  }

  of(pid: number): { id: number; fresh: boolean } {
    let low = 0
    let high = this.#sorted.length
    while (low < high) {
      const middle = (low + high) >> 1
      const answer = kcmp(pid, this.#sorted[middle]!.pid, this.#type)
      if (answer === 0) return { id: this.#sorted[middle]!.id, fresh: false }
      if (answer === 1) high = middle
      else low = middle + 1
    }
    const id = this.#next++
    this.#sorted.splice(low, 0, { pid, id })
    return { id, fresh: true }
  }
}

/** CRIU gives 1 to itself; the tasks' numbers begin behind it. */
const FIRST = 2

export type SharedIds = { vm_id: number; files_id: number; fs_id: number; sighand_id: number }

export class SharedObjects {
  readonly #vm = new Numbering(KCMP_VM, FIRST)
  readonly #files = new Numbering(KCMP_FILES, FIRST)
  readonly #fs = new Numbering(KCMP_FS, FIRST)
  readonly #sighand = new Numbering(KCMP_SIGHAND, FIRST)

  /** The objects of a process; `first` tells which of them no process asked about before has. */
  of(pid: number): { ids: SharedIds; first: { vm: boolean; files: boolean; fs: boolean } } {
    const vm = this.#vm.of(pid)
    const files = this.#files.of(pid)
    const fs = this.#fs.of(pid)
    return {
      ids: { vm_id: vm.id, files_id: files.id, fs_id: fs.id, sighand_id: this.#sighand.of(pid).id },
      first: { vm: vm.fresh, files: files.fresh, fs: fs.fresh },
    }
  }
}

/** Whether a thread has its own table of descriptors or its own working directory, unlike its process. */
export function differsFromLeader(leader: number, tid: number): 'descriptors' | 'working directory' | undefined {
  if (kcmp(leader, tid, KCMP_FILES) !== 0) return 'descriptors'
  if (kcmp(leader, tid, KCMP_FS) !== 0) return 'working directory'
  return undefined
}
