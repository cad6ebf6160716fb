// Pipes and fifos, and what was in them.
import { hex, inner, message, optional, u32, type State } from '../words.ts'
import { fown_entry } from './fown.ts'

/** One end of a pipe: which, is said by the access mode in `flags`. */
export const pipe_entry = message('pipe_entry', () => ({
  id: u32(1),
  pipe_id: u32(2), // The inode number: both ends have the same.
  flags: u32(3, hex),
  fown: inner(4, fown_entry),
}))
export type pipe_entry = State<typeof pipe_entry>

/** An open file description of a fifo. */
export const fifo_entry = message('fifo_entry', () => ({
  id: u32(1),
  pipe_id: u32(2), // The inode number.
  regf_id: optional(u32(3)), // The file id of its path.
}))
export type fifo_entry = State<typeof fifo_entry>

/** What was in a pipe or fifo; `bytes` bytes follow the entry. */
export const pipe_data_entry = message('pipe_data_entry', () => ({
  pipe_id: u32(1),
  bytes: u32(2),
  size: optional(u32(3)), // F_GETPIPE_SZ.
}))
export type pipe_data_entry = State<typeof pipe_data_entry>
