// Registers, FPU state and thread-local segments of x86-64 and of 32-bit tasks on it.
import {
  alike,
  bool,
  bytes,
  choice,
  enumeration,
  hex,
  inner,
  message,
  optional,
  repeated,
  u32,
  u64,
  vector,
  type State,
} from '../../words.ts'

/** Whether a thread runs 64-bit or 32-bit code. */
export const user_x86_regs_mode = enumeration('user_x86_regs_mode', { NATIVE: 1, COMPAT: 2 })

export const user_x86_regs_entry = message('user_x86_regs_entry', () => ({
  r15: u64(1),
  r14: u64(2),
  r13: u64(3),
  r12: u64(4),
  bp: u64(5),
  bx: u64(6),
  r11: u64(7),
  r10: u64(8),
  r9: u64(9),
  r8: u64(10),
  ax: u64(11),
  cx: u64(12),
  dx: u64(13),
  si: u64(14),
  di: u64(15),
  orig_ax: u64(16), // The call it was in, or -1.
  ip: u64(17),
  cs: u64(18),
  flags: u64(19),
  sp: u64(20),
  ss: u64(21),
  fs_base: u64(22),
  gs_base: u64(23),
  ds: u64(24),
  es: u64(25),
  fs: u64(26),
  gs: u64(27),
  mode: optional(choice(28, user_x86_regs_mode), user_x86_regs_mode.NATIVE), // Absent for a 64-bit one in old images.
}))
export type user_x86_regs_entry = State<typeof user_x86_regs_entry>

/** The shadow stack. */
export const user_x86_cet_entry = message('user_x86_cet_entry', () => ({ cet: u64(1, hex), ssp: u64(2, hex) }))
export type user_x86_cet_entry = State<typeof user_x86_cet_entry>

/** What xsave adds to fxsave, by component; a component that is not in `xstate_bv` is empty. */
export const user_x86_xsave_entry = message('user_x86_xsave_entry', () => ({
  xstate_bv: u64(1),
  ymmh_space: vector(2, 'u32'), // Upper halves of the AVX registers.
  bndreg_state: vector(3, 'u64'), // MPX, like bndcsr_state.
  bndcsr_state: vector(4, 'u64'),
  opmask_reg: vector(5, 'u64'), // AVX-512, like the two that follow.
  zmm_upper: vector(6, 'u64'),
  hi16_zmm: vector(7, 'u64'),
  pkru: vector(8, 'u32'), // Rights of protection keys.
  cet: optional(inner(9, user_x86_cet_entry)),
  raw: optional(bytes(1000)), // Ours: the whole area in its standard format, where it has components without a field (AMX).
}))
export type user_x86_xsave_entry = State<typeof user_x86_xsave_entry>

/** The 512 bytes of fxsave, in its own names. */
export const user_x86_fpregs_entry = message('user_x86_fpregs_entry', () => ({
  cwd: u32(1),
  swd: u32(2),
  twd: u32(3),
  fop: u32(4),
  rip: u64(5),
  rdp: u64(6),
  mxcsr: u32(7),
  mxcsr_mask: u32(8),
  st_space: vector(9, 'u32'), // 32 words of the eight x87 registers.
  xmm_space: vector(10, 'u32'), // 64 words of the sixteen SSE registers.
  padding: vector(11, 'u32'), // Not used; absent in newer images.
  xsave: optional(inner(13, user_x86_xsave_entry)),
}))
export type user_x86_fpregs_entry = State<typeof user_x86_fpregs_entry>

/** One of the three thread-local segments of the GDT (set_thread_area). */
export const user_desc_t = message('user_desc_t', () => ({
  entry_number: u32(1), // 12 to 14 on x86-64.
  base_addr: u32(2),
  limit: u32(3),
  seg_32bit: bool(4),
  contents_h: bool(5), // With contents_l: two bits of struct user_desc.
  contents_l: bool(6),
  read_exec_only: bool(7),
  limit_in_pages: bool(8),
  seg_not_present: bool(9),
  usable: bool(10), // `useable` there.
}))
export type user_desc_t = State<typeof user_desc_t>

export const thread_info_x86 = message('thread_info_x86', () => ({
  clear_tid_addr: u64(1, hex), // set_tid_address(2).
  gpregs: inner(2, user_x86_regs_entry, hex),
  fpregs: alike(inner(3, user_x86_fpregs_entry)),
  tls: repeated(alike(inner(4, user_desc_t))), // The three thread-local segments.
}))
export type thread_info_x86 = State<typeof thread_info_x86>
