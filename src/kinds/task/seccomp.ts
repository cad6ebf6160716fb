// Seccomp: strict mode, or a chain of filters, which tasks of a tree share since they inherit it (seccomp(2)).
import type { seccomp_filter } from '../../image/messages/seccomp.ts'
import { PR_SET_SECCOMP } from '../../linux/constants.ts'
import { seccompFilter } from '../../tracee/ptrace.ts'
import type { TaskBuild } from '../kind.ts'

export const MODE_DISABLED = 0
export const MODE_STRICT = 1
export const MODE_FILTER = 2
const SECCOMP_SET_MODE_FILTER = 1
/** Flags that say how a filter was added, not what it is: synchronising threads is done when it is restored thread by thread. */
const FLAG_LOG = 2
const FLAG_SPEC_ALLOW = 4

/** The filters of a tree, each chain by the place of its newest filter; equal chains are one. */
export class FilterTable {
  readonly filters: seccomp_filter[] = []
  readonly #places = new Map<string, number>()

  /** Reads the chain of a stopped thread; the place of its newest filter in seccomp.img. */
  read(tid: number): number {
    const chain: { filter: Uint8Array; flags: number }[] = []
    for (let index = 0; ; index++) {
      const found = seccompFilter(tid, index)
      if (found === undefined) break
      chain.push(found)
    }
    // Index 0 is the oldest (kernel/seccomp.c, get_nth_filter), as chains are built.
    let place = -1
    for (const { filter, flags } of chain) {
      const key = `${place}:${flags}:${Bun.hash.xxHash3(filter)}:${filter.length}`
      const known = this.#places.get(key)
      if (known !== undefined) {
        place = known
        continue
      }
      this.filters.push({ filter, flags, ...(place < 0 ? {} : { prev: place }) })
      place = this.filters.length - 1
      this.#places.set(key, place)
    }
    return place
  }
}

/** The chain that ends in filter `place`, oldest first. Bad places and cycles end it early: the caller compares. */
export function chainOf(filters: readonly seccomp_filter[], place: number): seccomp_filter[] {
  const chain: seccomp_filter[] = []
  for (let next: number | undefined = place; next !== undefined; next = filters[next]?.prev) {
    const filter = filters[next]
    if (filter === undefined || chain.length > filters.length) break
    chain.push(filter)
  }
  return chain.toReversed()
}

/**
 * Puts the thread under its filters again. They are suspended while we trace it (PTRACE_O_SUSPEND_SECCOMP), so the rest
 * of the restore is not bound by them; and before credentials, since it needs CAP_SYS_ADMIN or no_new_privs.
 */
export function restoreSeccomp(mode: number, chain: readonly seccomp_filter[], at: TaskBuild): void {
  if (mode === MODE_STRICT) {
    at.call('prctl', PR_SET_SECCOMP, MODE_STRICT, 0, 0, 0)
    return
  }
  if (mode !== MODE_FILTER) return
  for (const { filter, flags } of chain) {
    const program = at.memory(filter)
    // struct sock_fprog: u16 len, padding, pointer.
    const fprog = new Uint8Array(16)
    new DataView(fprog.buffer).setUint16(0, filter.length / 8, true)
    at.call(
      'seccomp',
      SECCOMP_SET_MODE_FILTER,
      (flags ?? 0) & (FLAG_LOG | FLAG_SPEC_ALLOW),
      at.memory(fprog, [{ offset: 8, memory: program }]),
    )
  }
}
