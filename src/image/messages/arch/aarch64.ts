// Registers of aarch64.
import { hex, inner, message, optional, repeated, u32, u64, type State } from '../../words.ts'

export const user_aarch64_regs_entry = message('user_aarch64_regs_entry', () => ({
  regs: repeated(u64(1)),
  sp: u64(2),
  pc: u64(3),
  pstate: u64(4),
}))
export type user_aarch64_regs_entry = State<typeof user_aarch64_regs_entry>

export const user_aarch64_fpsimd_context_entry = message('user_aarch64_fpsimd_context_entry', () => ({
  vregs: repeated(u64(1)),
  fpsr: u32(2),
  fpcr: u32(3),
}))
export type user_aarch64_fpsimd_context_entry = State<typeof user_aarch64_fpsimd_context_entry>

export const pac_address_keys = message('pac_address_keys', () => ({
  apiakey_lo: u64(1),
  apiakey_hi: u64(2),
  apibkey_lo: u64(3),
  apibkey_hi: u64(4),
  apdakey_lo: u64(5),
  apdakey_hi: u64(6),
  apdbkey_lo: u64(7),
  apdbkey_hi: u64(8),
  pac_enabled_key: u64(9),
}))
export type pac_address_keys = State<typeof pac_address_keys>

export const pac_generic_keys = message('pac_generic_keys', () => ({ apgakey_lo: u64(1), apgakey_hi: u64(2) }))
export type pac_generic_keys = State<typeof pac_generic_keys>

/** Keys of pointer authentication. */
export const pac_keys = message('pac_keys', () => ({
  pac_address_keys: optional(inner(6, pac_address_keys)),
  pac_generic_keys: optional(inner(7, pac_generic_keys)),
}))
export type pac_keys = State<typeof pac_keys>

export const thread_info_aarch64 = message('thread_info_aarch64', () => ({
  clear_tid_addr: u64(1, hex),
  tls: u64(2),
  gpregs: inner(3, user_aarch64_regs_entry, hex),
  fpsimd: inner(4, user_aarch64_fpsimd_context_entry),
  pac_keys: optional(inner(5, pac_keys)),
}))
export type thread_info_aarch64 = State<typeof thread_info_aarch64>
