import { describe, expect, test } from 'bun:test'
import { closeSync, openSync, readSync } from 'node:fs'
import { Arena, syscall } from '../ffi.ts'
import {
  decodePagemapEntry,
  decodePageRegions,
  decodeWalkEnd,
  encodePmScanArg,
  PAGE_IS_FILE,
  PAGE_IS_PRESENT,
  PAGE_REGION_BYTES,
  PAGEMAP_ENTRY_BYTES,
  PAGEMAP_SCAN,
  PM_SCAN_ARG_BYTES,
  PM_SCAN_WP_MATCHING,
} from './pagemap-scan.ts'

const PAGE = 4096
const ENOTTY = 25
const NR_IOCTL = 16

describe('layouts', () => {
  test('the call numbers are _IOWR of the sizes', () => {
    expect(PAGEMAP_SCAN).toBe(3 * 2 ** 30 + (PM_SCAN_ARG_BYTES << 16) + ('f'.charCodeAt(0) << 8) + 16)
  })

  test('struct pm_scan_arg', () => {
    const view = new DataView(new ArrayBuffer(8 + PM_SCAN_ARG_BYTES))
    encodePmScanArg(view, 8, {
      start: 0x7f00_0000_1000,
      end: 0xffff_ffff_ffff_f000,
      flags: PM_SCAN_WP_MATCHING,
      regionsAt: 0x7f11_2233_4455,
      regionsMax: 5,
      pagesMax: 6,
      inverted: 7,
      mask: 8,
      anyOf: 9,
      returns: 10,
    })
    const words = Array.from({ length: 13 }, (_, i) => view.getBigUint64(8 * i, true))
    expect(words).toEqual([
      0n,
      96n,
      1n,
      0x7f00_0000_1000n,
      0xffff_ffff_ffff_f000n,
      0n,
      0x7f11_2233_4455n,
      5n,
      6n,
      7n,
      8n,
      9n,
      10n,
    ])
  })

  test('regions past the buffer are refused', () => {
    const view = new DataView(new ArrayBuffer(2 * PAGE_REGION_BYTES))
    expect(decodePageRegions(view, 0, 2)).toEqual(
      Array.from({ length: 2 }, () => ({ start: 0, end: 0, categories: 0 })),
    )
    expect(() => decodePageRegions(view, 0, 3)).toThrow('3 regions')
    expect(() => decodePageRegions(view, 8, 2)).toThrow('2 regions')
  })

  test('entries of pagemap', () => {
    const entry = (word: bigint) => {
      const view = new DataView(new ArrayBuffer(8))
      view.setBigUint64(0, word, true)
      return decodePagemapEntry(view, 0)
    }
    const none = {
      present: false,
      swapped: false,
      softDirty: false,
      exclusive: false,
      uffdWp: false,
      guard: false,
      file: false,
      pfn: 0,
      swapType: 0,
      swapOffset: 0,
    }
    expect(entry(0n)).toEqual(none)
    expect(entry((1n << 63n) | 0x12_3456_789an)).toEqual({ ...none, present: true, pfn: 0x12_3456_789a })
    expect(entry((1n << 62n) | (0x3_ffff_ffff_ffffn << 5n) | 7n)).toEqual({
      ...none,
      swapped: true,
      swapType: 7,
      swapOffset: 0x3_ffff_ffff_ffff,
    })
    expect(entry(1n << 55n)).toEqual({ ...none, softDirty: true })
    expect(entry(1n << 56n)).toEqual({ ...none, exclusive: true })
    expect(entry(1n << 57n)).toEqual({ ...none, uffdWp: true })
    expect(entry(1n << 58n)).toEqual({ ...none, guard: true })
    expect(entry(1n << 61n)).toEqual({ ...none, file: true })
  })
})

describe('this kernel', () => {
  // 16 pages between the arena's own neighbours; 0, 1 and 5 are touched.
  const touched = [0, 1, 5]
  const withPages = (look: (arena: Arena, fd: number) => void) => {
    const arena = new Arena(16 * PAGE)
    const fd = openSync('/proc/self/pagemap', 'r')
    for (const page of touched) arena.bytes[page * PAGE] = 1
    try {
      look(arena, fd)
    } finally {
      closeSync(fd)
      arena.unmap()
    }
  }

  test('PAGEMAP_SCAN finds the touched pages', () =>
    withPages((arena, fd) => {
      const room = new Arena(PAGE)
      const regionsAt = room.take(10 * PAGE_REGION_BYTES)
      const argAt = room.take(PM_SCAN_ARG_BYTES)
      const end = arena.address + arena.size
      encodePmScanArg(room.view, argAt - room.address, {
        start: arena.address,
        end,
        regionsAt,
        regionsMax: 10,
        mask: PAGE_IS_PRESENT,
        returns: PAGE_IS_PRESENT | PAGE_IS_FILE,
      })
      const found = syscall(NR_IOCTL, fd, PAGEMAP_SCAN, argAt)
      // Before Linux 6.7 there is no such call.
      if (found !== -ENOTTY) {
        expect(found).toBe(2)
        expect(decodePageRegions(room.view, regionsAt - room.address, found)).toEqual([
          { start: arena.address, end: arena.address + 2 * PAGE, categories: PAGE_IS_PRESENT },
          { start: arena.address + 5 * PAGE, end: arena.address + 6 * PAGE, categories: PAGE_IS_PRESENT },
        ])
        expect(decodeWalkEnd(room.view, argAt - room.address)).toBe(end)
      }
      room.unmap()
    }))

  test('pagemap tells the same page by page', () =>
    withPages((arena, fd) => {
      const buffer = new Uint8Array(16 * PAGEMAP_ENTRY_BYTES)
      expect(readSync(fd, buffer, 0, buffer.length, (arena.address / PAGE) * PAGEMAP_ENTRY_BYTES)).toBe(buffer.length)
      const view = new DataView(buffer.buffer)
      const present = Array.from({ length: 16 }, (_, page) => decodePagemapEntry(view, page * PAGEMAP_ENTRY_BYTES))
      expect(present.flatMap((entry, page) => (entry.present ? [page] : []))).toEqual(touched)
      for (const page of touched) expect(present[page]).toMatchObject({ file: false, exclusive: true, swapped: false })
    }))
})
