// What a dump or restore took: stats-dump and stats-restore. Times are microseconds.
import { inner, message, optional, u32, u64, type State } from '../words.ts'

/** Counts are pages. */
export const dump_stats_entry = message('dump_stats_entry', () => ({
  freezing_time: u32(1), // Until all tasks were stopped.
  frozen_time: u32(2), // How long they were stopped.
  memdump_time: u32(3),
  memwrite_time: u32(4),
  pages_scanned: u64(5),
  pages_skipped_parent: u64(6), // Unchanged since the parent image.
  pages_written: u64(7),
  irmap_resolve: optional(u32(8)), // Finding paths of watched inodes.
  pages_lazy: u64(9),
  page_pipes: optional(u64(10)),
  page_pipe_bufs: optional(u64(11)),
  shpages_scanned: optional(u64(12)), // Of shared memory, like the two that follow.
  shpages_skipped_parent: optional(u64(13)),
  shpages_written: optional(u64(14)),
}))
export type dump_stats_entry = State<typeof dump_stats_entry>

/** Counts are pages. */
export const restore_stats_entry = message('restore_stats_entry', () => ({
  pages_compared: u64(1), // Read to see whether a forked page is still shared.
  pages_skipped_cow: u64(2), // Left shared with the parent.
  forking_time: u32(3),
  restore_time: u32(4),
  pages_restored: optional(u64(5)),
}))
export type restore_stats_entry = State<typeof restore_stats_entry>

export const stats_entry = message('stats_entry', () => ({
  dump: optional(inner(1, dump_stats_entry)),
  restore: optional(inner(2, restore_stats_entry)),
}))
export type stats_entry = State<typeof stats_entry>
