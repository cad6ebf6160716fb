// Places that the restore needs for itself in every task, and that no task has anything at.
import { BardoError, type Report } from '../base/errors.ts'
import type { vma_entry } from '../image/messages/mm.ts'
import { PAGE_SIZE } from '../linux/constants.ts'
import { TASK_SIZE } from '../linux/arch/x86-64.ts'
import type { Places } from '../program/program.ts'
import type { ParkedPart } from '../program/spawn.ts'
import type { Host } from './host.ts'

const SCRATCH_SIZE = 256 << 10
/** Above what mmap_min_addr may forbid, where hardly anything is ever mapped. */
const LOWEST = 1 << 20
/** Distance to mappings, so that none grows into ours while the tree is made. */
const GUARD = 1 << 20

export function choosePlaces(
  vmas: readonly vma_entry[],
  parked: readonly ParkedPart[],
  numbers: readonly number[],
  host: Host,
  report: Report,
): Places {
  const parkSize = PAGE_SIZE + parked.reduce((sum, part) => sum + part.size, 0)
  const size = SCRATCH_SIZE + parkSize
  const start = findGap(vmas, size)
  if (start === undefined)
    report.add(new BardoError('unsupported', 'no room for the restore in the address space of the tasks'))
  const scratch = start ?? LOWEST
  return { scratch, scratchSize: SCRATCH_SIZE, park: scratch + SCRATCH_SIZE, socket: findNumber(numbers, host, report) }
}

function findGap(vmas: readonly vma_entry[], size: number): number | undefined {
  const ranges = vmas
    .map(vma => ({ start: Number(vma.start), end: Number(vma.end) }))
    .toSorted((a, b) => a.start - b.start)
  let from = LOWEST
  for (const { start, end } of ranges) {
    if (start - GUARD >= from + size) return from
    from = Math.max(from, end + GUARD)
  }
  return from + size < TASK_SIZE ? from : undefined
}

/** A descriptor number for the socket: free in every task, and in us, who hand it down. */
function findNumber(numbers: readonly number[], host: Host, report: Report): number {
  const used = new Set(numbers)
  const isFree = (number: number): boolean => !used.has(number) && host.isFreeDescriptor(number)
  for (let number = Math.min(1000, host.descriptorsMax - 1); number >= 3; number--) if (isFree(number)) return number
  for (let number = 1001; number < host.descriptorsMax; number++) if (isFree(number)) return number
  report.add(new BardoError('refused', 'no descriptor number is free in all tasks', { hint: 'raise RLIMIT_NOFILE' }))
  return 3
}
