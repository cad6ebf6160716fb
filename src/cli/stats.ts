// --display-stats: the statistics that the engine wrote to the work directory, in the lines that CRIU prints and that
// scripts pick apart.
import { ImageDirectory } from '../image/directory.ts'
import type { dump_stats_entry, restore_stats_entry } from '../image/messages/stats.ts'

const count = (label: string, value: bigint): string => `${label}: ${value} (0x${value.toString(16)})`

/** The lines for a dump; times are microseconds. */
export function dumpStatsText(stats: dump_stats_entry): string {
  return `${[
    'Displaying dump stats:',
    `Freezing time: ${stats.freezing_time} us`,
    `Frozen time: ${stats.frozen_time} us`,
    `Memory dump time: ${stats.memdump_time} us`,
    `Memory write time: ${stats.memwrite_time} us`,
    ...(stats.irmap_resolve === undefined ? [] : [`IRMAP resolve time: ${stats.irmap_resolve} us`]),
    count('Memory pages scanned', stats.pages_scanned),
    count('Memory pages skipped from parent', stats.pages_skipped_parent),
    count('Memory pages written', stats.pages_written),
    count('Lazy memory pages', stats.pages_lazy),
  ].join('\n')}\n`
}

/** The lines for a restore; times are microseconds. */
export function restoreStatsText(stats: restore_stats_entry): string {
  return `${[
    'Displaying restore stats:',
    count('Pages compared', stats.pages_compared),
    count('Pages skipped COW', stats.pages_skipped_cow),
    ...(stats.pages_restored === undefined ? [] : [count('Pages restored', stats.pages_restored)]),
    `Restore time: ${stats.restore_time} us`,
    `Forking time: ${stats.forking_time} us`,
  ].join('\n')}\n`
}

/** The text for `stats-dump` or `stats-restore` in the work directory. */
export function statsText(command: 'dump' | 'restore', workFd: number): string {
  const { dump, restore } = new ImageDirectory(workFd).readOne('STATS', command)
  if (dump !== undefined) return dumpStatsText(dump)
  return restore === undefined ? '' : restoreStatsText(restore)
}
