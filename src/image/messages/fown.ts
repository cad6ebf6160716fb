// Who is told by a signal when a descriptor becomes ready (F_SETOWN, F_SETSIG).
import { message, u32, type State } from '../words.ts'

/** The owner of a description, by which its signals are permitted too. */
export const fown_entry = message('fown_entry', () => ({
  uid: u32(1),
  euid: u32(2),
  signum: u32(3),
  pid_type: u32(4), // F_OWNER_TID, F_OWNER_PID or F_OWNER_PGRP.
  pid: u32(5), // 0 for no owner.
}))
export type fown_entry = State<typeof fown_entry>
