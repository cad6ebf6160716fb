// Registers of LoongArch.
import { hex, inner, message, repeated, u32, u64, type State } from '../../words.ts'

export const user_loongarch64_gpregs_entry = message('user_loongarch64_gpregs_entry', () => ({
  regs: repeated(u64(1)),
  pc: u64(2),
}))
export type user_loongarch64_gpregs_entry = State<typeof user_loongarch64_gpregs_entry>

export const user_loongarch64_fpregs_entry = message('user_loongarch64_fpregs_entry', () => ({
  regs: repeated(u64(1)),
  fcc: u64(2),
  fcsr: u32(3),
}))
export type user_loongarch64_fpregs_entry = State<typeof user_loongarch64_fpregs_entry>

export const thread_info_loongarch64 = message('thread_info_loongarch64', () => ({
  clear_tid_addr: u64(1, hex),
  tls: u64(2),
  gpregs: inner(3, user_loongarch64_gpregs_entry, hex),
  fpregs: inner(4, user_loongarch64_fpregs_entry, hex),
}))
export type thread_info_loongarch64 = State<typeof thread_info_loongarch64>
