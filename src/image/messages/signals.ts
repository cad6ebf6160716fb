// Signal actions, and signals that wait to be delivered.
import { bool, bytes, hex, inner, message, optional, repeated, u64, type State } from '../words.ts'

/** struct sigaction as the kernel has it; SIGKILL and SIGSTOP have no entry. */
export const sa_entry = message('sa_entry', () => ({
  sigaction: u64(1, hex),
  flags: u64(2, hex),
  restorer: u64(3, hex),
  mask: u64(4, hex),
  compat_sigaction: optional(bool(5)),
  mask_extended: optional(u64(6, hex)),
}))
export type sa_entry = State<typeof sa_entry>

/** The 128 bytes of a siginfo_t. */
export const siginfo_entry = message('siginfo_entry', () => ({ siginfo: bytes(1) }))
export type siginfo_entry = State<typeof siginfo_entry>

export const signal_queue_entry = message('signal_queue_entry', () => ({ signals: repeated(inner(1, siginfo_entry)) }))
export type signal_queue_entry = State<typeof signal_queue_entry>
