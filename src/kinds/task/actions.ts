// Signal actions: one for each signal, shared by the threads of a process (rt_sigaction(2)).
import { type sa_entry } from '../../image/messages/signals.ts'
import { SIGCHLD, SIGKILL, SIGSTOP } from '../../linux/constants.ts'
import type { TaskBuild } from '../kind.ts'
import type { Question } from './question.ts'

/** struct sigaction of the kernel: handler, flags, restorer, mask; four words. */
const SIZE = 32
const SIGNALS = Array.from({ length: 64 }, (_, index) => index + 1).filter(
  signal => signal !== SIGKILL && signal !== SIGSTOP,
)

const DEFAULT: sa_entry = { sigaction: 0n, flags: 0n, restorer: 0n, mask: 0n, compat_sigaction: false }

/**
 * Asks for the actions of the signals in `changed` (SigIgn | SigCgt of /proc/PID/status), and of SIGCHLD, whose flags
 * matter without a handler too (SA_NOCLDWAIT); the others have the default action.
 */
export function askActions(changed: bigint): Question<sa_entry[]> {
  return table => {
    const places = SIGNALS.map(signal => {
      if (signal !== SIGCHLD && ((changed >> BigInt(signal - 1)) & 1n) === 0n) return undefined
      const at = table.take(SIZE)
      table.call('rt_sigaction', [signal, 0, at, 8])
      return at
    })
    return () =>
      places.map(at =>
        at === undefined
          ? { ...DEFAULT }
          : {
              sigaction: table.word64(at),
              flags: table.word64(at + 8),
              restorer: table.word64(at + 16),
              mask: table.word64(at + 24),
              compat_sigaction: false,
            },
      )
  }
}

/** Sets every action that is not the default one: a new process has no others, but those that the runtime ignores. */
export function restoreActions(actions: readonly sa_entry[], inherited: ReadonlySet<number>, at: TaskBuild): void {
  actions.forEach((action, index) => {
    const signal = SIGNALS[index]
    if (signal === undefined) return
    const isDefault = action.sigaction === 0n && action.flags === 0n && action.mask === 0n
    if (isDefault && !inherited.has(signal)) return
    const bytes = new Uint8Array(SIZE)
    const words = new BigUint64Array(bytes.buffer)
    words.set([action.sigaction, action.flags, action.restorer, action.mask])
    at.call('rt_sigaction', signal, at.memory(bytes), 0, 8)
  })
}
