// Registers of 32-bit ARM.
import { hex, inner, message, repeated, u32, u64, type State } from '../../words.ts'

export const user_arm_regs_entry = message('user_arm_regs_entry', () => ({
  r0: u32(1),
  r1: u32(2),
  r2: u32(3),
  r3: u32(4),
  r4: u32(5),
  r5: u32(6),
  r6: u32(7),
  r7: u32(8),
  r8: u32(9),
  r9: u32(10),
  r10: u32(11),
  fp: u32(12),
  ip: u32(13),
  sp: u32(14),
  lr: u32(15),
  pc: u32(16),
  cpsr: u32(17),
  orig_r0: u32(18),
}))
export type user_arm_regs_entry = State<typeof user_arm_regs_entry>

export const user_arm_vfpstate_entry = message('user_arm_vfpstate_entry', () => ({
  vfp_regs: repeated(u64(1)),
  fpscr: u32(2),
  fpexc: u32(3),
  fpinst: u32(4),
  fpinst2: u32(5),
}))
export type user_arm_vfpstate_entry = State<typeof user_arm_vfpstate_entry>

export const thread_info_arm = message('thread_info_arm', () => ({
  clear_tid_addr: u64(1, hex),
  tls: u32(2),
  gpregs: inner(3, user_arm_regs_entry, hex),
  fpstate: inner(4, user_arm_vfpstate_entry),
}))
export type thread_info_arm = State<typeof thread_info_arm>
