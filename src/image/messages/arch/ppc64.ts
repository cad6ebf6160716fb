// Registers of 64-bit POWER, with those of its transactional memory.
import { hex, inner, message, optional, repeated, u32, u64, type State } from '../../words.ts'

export const user_ppc64_regs_entry = message('user_ppc64_regs_entry', () => ({
  gpr: repeated(u64(1)),
  nip: u64(2),
  msr: u64(3),
  orig_gpr3: u64(4),
  ctr: u64(5),
  link: u64(6),
  xer: u64(7),
  ccr: u64(8),
  trap: u64(9),
  texasr: optional(u64(10)),
  tfhar: optional(u64(11)),
  tfiar: optional(u64(12)),
}))
export type user_ppc64_regs_entry = State<typeof user_ppc64_regs_entry>

export const user_ppc64_fpstate_entry = message('user_ppc64_fpstate_entry', () => ({ fpregs: repeated(u64(1)) }))
export type user_ppc64_fpstate_entry = State<typeof user_ppc64_fpstate_entry>

export const user_ppc64_vrstate_entry = message('user_ppc64_vrstate_entry', () => ({
  vrregs: repeated(u64(1)), // Two words for each register, the upper half first; the last pair is the VSCR.
  vrsave: u32(2),
}))
export type user_ppc64_vrstate_entry = State<typeof user_ppc64_vrstate_entry>

export const user_ppc64_vsxstate_entry = message('user_ppc64_vsxstate_entry', () => ({ vsxregs: repeated(u64(1)) }))
export type user_ppc64_vsxstate_entry = State<typeof user_ppc64_vsxstate_entry>

export const user_ppc64_tm_regs_entry = message('user_ppc64_tm_regs_entry', () => ({
  gpregs: inner(1, user_ppc64_regs_entry),
  fpstate: optional(inner(2, user_ppc64_fpstate_entry)),
  vrstate: optional(inner(3, user_ppc64_vrstate_entry)),
  vsxstate: optional(inner(4, user_ppc64_vsxstate_entry)),
}))
export type user_ppc64_tm_regs_entry = State<typeof user_ppc64_tm_regs_entry>

export const thread_info_ppc64 = message('thread_info_ppc64', () => ({
  clear_tid_addr: u64(1, hex),
  gpregs: inner(2, user_ppc64_regs_entry, hex),
  fpstate: optional(inner(3, user_ppc64_fpstate_entry)),
  vrstate: optional(inner(4, user_ppc64_vrstate_entry)),
  vsxstate: optional(inner(5, user_ppc64_vsxstate_entry)),
  tmstate: optional(inner(6, user_ppc64_tm_regs_entry)),
}))
export type thread_info_ppc64 = State<typeof thread_info_ppc64>
