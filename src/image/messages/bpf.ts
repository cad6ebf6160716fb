// BPF maps, and what was in them.
import { bool, flags, inner, message, optional, s32, text, u32, u64, type State } from '../words.ts'
import { fown_entry } from './fown.ts'

export const bpfmap_file_entry = message('bpfmap_file_entry', () => ({
  id: u32(1),
  flags: u32(2, flags('rfile.flags')),
  pos: u64(3),
  fown: inner(4, fown_entry),
  map_type: u32(5),
  key_size: u32(6),
  value_size: u32(7),
  map_id: u32(8),
  max_entries: u32(9),
  map_flags: u32(10),
  memlock: u64(11),
  frozen: bool(12),
  map_name: text(13),
  ifindex: u32(14),
  mnt_id: optional(s32(15), -1),
  map_extra: optional(u64(16)),
}))
export type bpfmap_file_entry = State<typeof bpfmap_file_entry>

/** The pairs of a map: all keys follow the entry, then all values. */
export const bpfmap_data_entry = message('bpfmap_data_entry', () => ({
  map_id: u32(1),
  keys_bytes: u32(2),
  values_bytes: u32(3),
  count: u32(4),
}))
export type bpfmap_data_entry = State<typeof bpfmap_data_entry>
