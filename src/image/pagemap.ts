// Entries of a pagemap, read without a state for each: sparse memory has one for every page or two.
import type { pagemap_entry } from './messages/mm.ts'

/** An entry as numbers; one object serves for all, so what is wanted of it is copied. */
export type PagemapRun = {
  /** Its first address, in bytes. */
  vaddr: number
  nr_pages: number
  /** PE_…; -1 where the entry has none. */
  flags: number
  in_parent: boolean
}

/** What a message of any form says. */
export function fromEntry(run: PagemapRun, entry: pagemap_entry): void {
  run.vaddr = Number(entry.vaddr)
  run.nr_pages = Number(entry.nr_pages ?? entry.compat_nr_pages)
  run.flags = entry.flags ?? -1
  run.in_parent = entry.in_parent === true
}

// Tags of its fields: number * 8, all of them varints.
const [VADDR, COMPAT, IN_PARENT, FLAGS, NR_PAGES] = [0x08, 0x10, 0x18, 0x20, 0x28]
/** Seven bits each: what is longer may not be exact as a number. */
const SAFE_BYTES = 7

/**
 * Takes the message in [at, end) of `bytes` if it is as writers make it: known fields, each once, none of them past 2^49.
 * False for any other, which may be right all the same, or damaged: the codec tells.
 */
export function fromBytes(run: PagemapRun, bytes: Uint8Array, at: number, end: number): boolean {
  let seen = 0
  let compat = 0
  run.flags = -1
  run.in_parent = false
  while (at < end) {
    const tag = bytes[at++]!
    let value = 0
    let unit = 1
    let length = 0
    for (;;) {
      if (at === end || ++length > SAFE_BYTES) return false
      const byte = bytes[at++]!
      value += (byte & 0x7f) * unit
      if (byte < 0x80) break
      unit *= 128
    }
    if ((seen & (1 << (tag >> 3))) !== 0 || tag > NR_PAGES) return false
    seen |= 1 << (tag >> 3)
    if (tag === VADDR) run.vaddr = value
    else if (tag === COMPAT) compat = value
    else if (tag === IN_PARENT) run.in_parent = value !== 0
    else if (tag === FLAGS) run.flags = value
    else if (tag === NR_PAGES) run.nr_pages = value
    else return false
  }
  if ((seen & (1 << (NR_PAGES >> 3))) === 0) run.nr_pages = compat
  const required = (1 << (VADDR >> 3)) | (1 << (COMPAT >> 3))
  return (seen & required) === required && compat <= 0xffff_ffff && run.flags <= 0xffff_ffff
}
