// Registers of MIPS.
import { hex, inner, message, u32, u64, type State } from '../../words.ts'

export const user_mips_regs_entry = message('user_mips_regs_entry', () => ({
  r0: u64(1), r1: u64(2), r2: u64(3), r3: u64(4), r4: u64(5), r5: u64(6), r6: u64(7), r7: u64(8),
  r8: u64(9), r9: u64(10), r10: u64(11), r11: u64(12), r12: u64(13), r13: u64(14), r14: u64(15),
  r15: u64(16), r16: u64(17), r17: u64(18), r18: u64(19), r19: u64(20), r20: u64(21), r21: u64(22),
  r22: u64(23), r23: u64(24), r24: u64(25), r25: u64(26), r26: u64(27), r27: u64(28), r28: u64(29),
  r29: u64(30), r30: u64(31), r31: u64(32), lo: u64(33), hi: u64(34), cp0_epc: u64(35),
  cp0_badvaddr: u64(36), cp0_status: u64(37), cp0_cause: u64(38),
}))
export type user_mips_regs_entry = State<typeof user_mips_regs_entry>

export const user_mips_fpregs_entry = message('user_mips_fpregs_entry', () => ({
  r0: u64(1), r1: u64(2), r2: u64(3), r3: u64(4), r4: u64(5), r5: u64(6), r6: u64(7), r7: u64(8),
  r8: u64(9), r9: u64(10), r10: u64(11), r11: u64(12), r12: u64(13), r13: u64(14), r14: u64(15),
  r15: u64(16), r16: u64(17), r17: u64(18), r18: u64(19), r19: u64(20), r20: u64(21), r21: u64(22),
  r22: u64(23), r23: u64(24), r24: u64(25), r25: u64(26), r26: u64(27), r27: u64(28), r28: u64(29),
  r29: u64(30), r30: u64(31), r31: u64(32), lo: u64(33), hi: u64(34), fpu_fcr31: u32(35),
  fpu_id: u32(36),
}))
export type user_mips_fpregs_entry = State<typeof user_mips_fpregs_entry>

export const thread_info_mips = message('thread_info_mips', () => ({
  clear_tid_addr: u64(1, hex),
  tls: u64(2),
  gpregs: inner(3, user_mips_regs_entry, hex),
  fpregs: inner(4, user_mips_fpregs_entry, hex),
}))
export type thread_info_mips = State<typeof thread_info_mips>
