// Scratch memory that a run which was killed left in a process: harmless, found and removed by the next one.
import { TABLE_LOOP } from '../linux/arch/x86-64.ts'
import { BardoError } from '../base/errors.ts'
import { readMemory } from './memory.ts'

const ALL = 7 // PROT_READ | PROT_WRITE | PROT_EXEC

type Candidate = {
  readonly start: number
  readonly prot: number
  readonly shared: boolean
  readonly path: string
}

/**
 * Whether a mapping is scratch memory of ours: private, anonymous, and it begins with the loop that runs tables.
 * Kernels without CONFIG_ANON_VMA_NAME do not let it have a name, so that its contents tell.
 */
export function isLeftBehind(pid: number, mapping: Candidate): boolean {
  if (mapping.prot !== ALL || mapping.shared || (mapping.path !== '' && !mapping.path.startsWith('[anon'))) return false
  try {
    const head = readMemory(pid, mapping.start, TABLE_LOOP.length)
    return head.every((byte, index) => byte === TABLE_LOOP[index])
  } catch (error) {
    if (error instanceof BardoError && error.code === 'refused') return false
    throw error
  }
}
