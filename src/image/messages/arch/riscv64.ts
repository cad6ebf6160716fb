// Registers of 64-bit RISC-V.
import { hex, inner, message, repeated, u32, u64, type State } from '../../words.ts'

export const user_riscv64_regs_entry = message('user_riscv64_regs_entry', () => ({
  pc: u64(1),
  ra: u64(2),
  sp: u64(3),
  gp: u64(4),
  tp: u64(5),
  t0: u64(6),
  t1: u64(7),
  t2: u64(8),
  s0: u64(9),
  s1: u64(10),
  a0: u64(11),
  a1: u64(12),
  a2: u64(13),
  a3: u64(14),
  a4: u64(15),
  a5: u64(16),
  a6: u64(17),
  a7: u64(18),
  s2: u64(19),
  s3: u64(20),
  s4: u64(21),
  s5: u64(22),
  s6: u64(23),
  s7: u64(24),
  s8: u64(25),
  s9: u64(26),
  s10: u64(27),
  s11: u64(28),
  t3: u64(29),
  t4: u64(30),
  t5: u64(31),
  t6: u64(32),
}))
export type user_riscv64_regs_entry = State<typeof user_riscv64_regs_entry>

export const user_riscv64_d_ext_entry = message('user_riscv64_d_ext_entry', () => ({
  f: repeated(u64(1)),
  fcsr: u32(2),
}))
export type user_riscv64_d_ext_entry = State<typeof user_riscv64_d_ext_entry>

export const thread_info_riscv64 = message('thread_info_riscv64', () => ({
  clear_tid_addr: u64(1, hex),
  tls: u64(2),
  gpregs: inner(3, user_riscv64_regs_entry, hex),
  fpsimd: inner(4, user_riscv64_d_ext_entry),
}))
export type thread_info_riscv64 = State<typeof thread_info_riscv64>
