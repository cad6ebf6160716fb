// Registers of s390x.
import { hex, inner, message, optional, repeated, u32, u64, type State } from '../../words.ts'

export const user_s390_regs_entry = message('user_s390_regs_entry', () => ({
  psw_mask: u64(1),
  psw_addr: u64(2),
  gprs: repeated(u64(3)),
  acrs: repeated(u32(4)),
  orig_gpr2: u64(5),
  system_call: u32(6),
}))
export type user_s390_regs_entry = State<typeof user_s390_regs_entry>

export const user_s390_fpregs_entry = message('user_s390_fpregs_entry', () => ({ fpc: u32(1), fprs: repeated(u64(2)) }))
export type user_s390_fpregs_entry = State<typeof user_s390_fpregs_entry>

export const user_s390_vxrs_low_entry = message('user_s390_vxrs_low_entry', () => ({ regs: repeated(u64(1)) }))
export type user_s390_vxrs_low_entry = State<typeof user_s390_vxrs_low_entry>

export const user_s390_vxrs_high_entry = message('user_s390_vxrs_high_entry', () => ({
  regs: repeated(u64(1)), // Two words for each register, the upper half first.
}))
export type user_s390_vxrs_high_entry = State<typeof user_s390_vxrs_high_entry>

export const user_s390_gs_cb_entry = message('user_s390_gs_cb_entry', () => ({ regs: repeated(u64(1)) }))
export type user_s390_gs_cb_entry = State<typeof user_s390_gs_cb_entry>

export const user_s390_ri_entry = message('user_s390_ri_entry', () => ({ ri_on: u32(1), regs: repeated(u64(2)) }))
export type user_s390_ri_entry = State<typeof user_s390_ri_entry>

export const thread_info_s390 = message('thread_info_s390', () => ({
  clear_tid_addr: u64(1, hex),
  gpregs: inner(2, user_s390_regs_entry, hex),
  fpregs: inner(3, user_s390_fpregs_entry, hex),
  vxrs_low: optional(inner(4, user_s390_vxrs_low_entry, hex)),
  vxrs_high: optional(inner(5, user_s390_vxrs_high_entry, hex)),
  gs_cb: optional(inner(6, user_s390_gs_cb_entry, hex)),
  gs_bc: optional(inner(7, user_s390_gs_cb_entry, hex)),
  ri_cb: optional(inner(8, user_s390_ri_entry, hex)),
}))
export type thread_info_s390 = State<typeof thread_info_s390>
