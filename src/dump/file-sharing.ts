// Which descriptors are one open file description: dup'ed, inherited by fork, sent over a socket.
import { BardoError } from '../base/errors.ts'
import { ESRCH, KCMP_FILE } from '../linux/constants.ts'
import { syscall } from '../linux/ffi.ts'
import { NR } from '../linux/nr.ts'

/** A description, by one of its descriptors. `id` is 0 for one that could not be saved. */
export type Description = {
  readonly pid: number
  readonly fd: number
  id: number
  type: number
  less: Description | undefined
  more: Description | undefined
}

const [EQUAL, LESS, MORE] = [0, 1, 2]

/**
 * Descriptions found so far. Files that differ in inode differ; among the rest kcmp(2) tells. The kernel compares
 * obfuscated addresses (kernel/kcmp.c), so its order has nothing to do with ours and plain trees stay as shallow as
 * random ones: a million descriptors of /dev/null take some 30 comparisons each.
 */
export class Descriptions {
  readonly #trees = new Map<number, Description>()

  /**
   * The description of descriptor `fd` of process `pid`, whose file has this device and inode number. One that was not
   * met before is added with id 0 and type 0, for the caller to fill in.
   */
  find(
    pid: number,
    fd: number,
    dev: number,
    ino: number,
  ): { readonly description: Description; readonly isNew: boolean } {
    // Two inodes may fall together here: kcmp tells them apart.
    const key = (ino % 0x1_0000_0000) + (dev % 0x10_0000) * 0x1_0000_0000
    const added: Description = { pid, fd, id: 0, type: 0, less: undefined, more: undefined }
    let at = this.#trees.get(key)
    if (at === undefined) {
      this.#trees.set(key, added)
      return { description: added, isNew: true }
    }
    for (;;) {
      const order = syscall(NR.kcmp, pid, at.pid, KCMP_FILE, fd, at.fd)
      if (order === EQUAL) return { description: at, isNew: false }
      if (order !== LESS && order !== MORE) throw failed(order, pid)
      const side: 'less' | 'more' = order === LESS ? 'less' : 'more'
      const next: Description | undefined = at[side]
      if (next === undefined) {
        at[side] = added
        return { description: added, isNew: true }
      }
      at = next
    }
  }
}

function failed(result: number, pid: number): BardoError {
  if (result === -ESRCH) return new BardoError('lost', `process ${pid} died while its files were compared`)
  return new BardoError('refused', 'cannot compare open files', {
    errno: result < 0 ? result : undefined,
    why: 'kcmp(2) tells which descriptors are shared',
    hint: 'the kernel needs CONFIG_KCMP, and we CAP_SYS_PTRACE',
  })
}
