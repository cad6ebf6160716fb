// Where the one instruction goes that makes the first call in a task.
import { BardoError } from '../base/errors.ts'
import { PAGE_SIZE, PROT_EXEC, PROT_READ } from '../linux/constants.ts'
import { BOOT_SIZE, isBootCode } from '../linux/arch/x86-64.ts'
import { readMemory } from './memory.ts'

/** What is needed of a mapping (linux/proc/maps.ts has all). */
type Place = { readonly start: number; readonly end: number; readonly prot: number; readonly path: string }

const VSYSCALL = '[vsyscall]'

/**
 * Finds BOOT_SIZE zero bytes at the end of an executable mapping: padding, which nothing ever runs. The vdso has some
 * hundreds of them on every kernel so far; a program without a vdso has them behind its text. Writing there makes a
 * private copy of that page, whose contents are put back; by the next run where one was killed before it could.
 */
export function findBootPlace(pid: number, mappings: readonly Place[]): number {
  const executable = mappings.filter(map => (map.prot & (PROT_READ | PROT_EXEC)) === (PROT_READ | PROT_EXEC))
  const candidates = [
    ...executable.filter(map => map.path === '[vdso]'),
    ...executable.filter(map => map.path !== '[vdso]' && map.path !== VSYSCALL),
  ]
  for (const map of candidates) {
    if (map.end - map.start < PAGE_SIZE) continue
    const at = map.end - BOOT_SIZE - 8
    const tail = readMemory(pid, at, BOOT_SIZE)
    if (tail.every(byte => byte === 0) || isBootCode(tail)) return at
  }
  throw new BardoError('unsupported', 'no executable memory of the process has room for one instruction', {
    where: `pid ${pid}`,
    why: 'it has no vdso, and no executable mapping ends in zeros',
    hint: 'start the program with its vdso (no vdso=0 on the kernel command line)',
  })
}
