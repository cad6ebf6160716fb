// stats-dump, which podman and others read from the work directory.
import { ImageWriter } from '../image/writer.ts'
import type { MemoryCounts } from './memory.ts'

/** Moments in milliseconds of the run. */
export type Times = { start: number; stopped: number; memory: number; memoryEnd: number; end: number }

const us = (from: number, to: number): number => Math.max(0, Math.round((to - from) * 1000))

export function writeDumpStats(workFd: number, times: Times, counts: MemoryCounts): void {
  const stats = new ImageWriter(workFd)
  stats.add('STATS', ['dump'], {
    dump: {
      freezing_time: us(times.start, times.stopped),
      frozen_time: us(times.stopped, times.end),
      memdump_time: us(times.memory, times.memoryEnd),
      memwrite_time: us(times.memory, times.memoryEnd),
      pages_scanned: BigInt(counts.pages_scanned),
      pages_skipped_parent: 0n,
      pages_written: BigInt(counts.pages_written),
      irmap_resolve: 0,
      pages_lazy: 0n,
      page_pipes: 0n,
      page_pipe_bufs: 0n,
      shpages_scanned: BigInt(counts.shpages_scanned),
      shpages_skipped_parent: 0n,
      shpages_written: BigInt(counts.shpages_written),
    },
  })
  stats.finish()
}
