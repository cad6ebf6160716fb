// Credentials of a thread.
import { bytes, message, optional, repeated, text, u32, type State } from '../words.ts'

/** Capability sets are words of 32 bits, low ones first. */
export const creds_entry = message('creds_entry', () => ({
  uid: u32(1),
  gid: u32(2),
  euid: u32(3),
  egid: u32(4),
  suid: u32(5),
  sgid: u32(6),
  fsuid: u32(7),
  fsgid: u32(8),
  cap_inh: repeated(u32(9)),
  cap_prm: repeated(u32(10)),
  cap_eff: repeated(u32(11)),
  cap_bnd: repeated(u32(12)),
  secbits: u32(13), // prctl(PR_GET_SECUREBITS).
  groups: repeated(u32(14)),
  lsm_profile: optional(text(15)),
  lsm_sockcreate: optional(text(16)),
  apparmor_data: optional(bytes(17)), // Names of the stack of profiles.
  no_new_privs: optional(u32(18)), // 1 when set.
  cap_amb: repeated(u32(19)),
}))
export type creds_entry = State<typeof creds_entry>
