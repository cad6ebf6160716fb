// Scratch memory that a run which was killed left in a process: harmless, found and removed by the next one.
import { BardoError } from '../base/errors.ts'
import { log } from '../base/log.ts'
import { SIGKILL, SIGSTOP, SIGTRAP } from '../linux/constants.ts'
import { REG, TABLE_LOOP } from '../linux/arch/x86-64.ts'
import { readMemory } from './memory.ts'
import { getRegisters, getSigmask, setRegisters, setSigmask, step, waitFor } from './ptrace.ts'
import type { Thread } from './stopped.ts'

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

const TRAP_FLAG = 0x100n
/** Tables of calls are some thousand instructions long at most, and each is one step. */
const STEPS_MAX = 100_000
/**
 * No signal is to begin its handler meanwhile. Not SIGTRAP, which ends each step: forced upon a task that blocks it, it
 * takes its handler away (kernel/signal.c, force_sig_info_to_task). SIGKILL and SIGSTOP are in no mask.
 */
const QUIET = BigInt.asUintN(
  64,
  ~((1n << BigInt(SIGTRAP - 1)) | (1n << BigInt(SIGKILL - 1)) | (1n << BigInt(SIGSTOP - 1))),
)

/**
 * Lets threads that a killed run has left in its code run on to where they belong. That happens to those that were
 * stopped by a signal then, and still are: all others are through with it after some microseconds. Whether there were any.
 */
export function leaveLeftBehind(
  threads: readonly Thread[],
  places: readonly { readonly start: number; readonly end: number }[],
): boolean {
  let led = false
  for (const thread of threads) {
    const { tid } = thread
    const inside = (): boolean => {
      const ip = Number(getRegisters(tid)[REG.ip])
      return places.some(({ start, end }) => ip >= start && ip < end)
    }
    if (!places.some(({ start, end }) => thread.registers[REG.ip]! >= start && thread.registers[REG.ip]! < end))
      continue
    led = true
    log.info(() => `thread ${tid} is in code of a run that was killed: it is led out`)
    // The code itself sets the thread's own mask near its end.
    let mask = thread.sigmask
    for (let steps = 0; inside(); steps++) {
      if (steps === STEPS_MAX)
        throw new BardoError('bug', `thread ${tid} does not leave the code of a run that was killed`)
      setSigmask(tid, QUIET)
      step(tid)
      if (waitFor(tid).kind !== 'stopped') throw new BardoError('lost', `thread ${tid} died while it was stopped`)
      const now = getSigmask(tid)
      if (now !== QUIET) mask = now
    }
    // Stepping over popf leaves the trap flag set as if the program had set it (arch/x86/kernel/step.c).
    const regs = getRegisters(tid)
    regs[REG.flags]! &= ~TRAP_FLAG
    setRegisters(tid, regs)
    setSigmask(tid, mask)
    thread.refresh()
  }
  return led
}
