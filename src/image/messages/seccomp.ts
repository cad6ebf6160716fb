// Seccomp modes, and the filters that the tasks of an image share.
import { bytes, enumeration, inner, message, optional, repeated, u32, type State } from '../words.ts'

/** SECCOMP_MODE_… of linux/seccomp.h. */
export const seccomp_mode = enumeration('seccomp_mode', { disabled: 0, strict: 1, filter: 2 })

/** One filter; a chain goes by `prev` to older ones. */
export const seccomp_filter = message('seccomp_filter', () => ({
  filter: bytes(1), // Instructions of classic BPF, eight bytes each.
  prev: optional(u32(2)), // The place of the filter below; absent for the last.
  flags: optional(u32(3)), // SECCOMP_FILTER_FLAG_…
}))
export type seccomp_filter = State<typeof seccomp_filter>

export const seccomp_entry = message('seccomp_entry', () => ({ seccomp_filters: repeated(inner(1, seccomp_filter)) }))
export type seccomp_entry = State<typeof seccomp_entry>
