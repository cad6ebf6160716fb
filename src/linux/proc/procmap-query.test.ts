import { describe, expect, test } from 'bun:test'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { bytesOf } from '../../base/bytes.ts'
import { Arena, syscall } from '../ffi.ts'
import { parseMaps } from './maps.ts'
import {
  decodeProcmapQuery,
  encodeProcmapQuery,
  PROCMAP_BUILD_ID_BYTES,
  PROCMAP_NAME_BYTES,
  PROCMAP_QUERY,
  PROCMAP_QUERY_BYTES,
  PROCMAP_QUERY_COVERING_OR_NEXT_VMA,
  type QueriedMapping,
} from './procmap-query.ts'

const NR_IOCTL = 16
const [ENOENT, ENOTTY] = [2, 25]

describe('layouts', () => {
  test('the call number is _IOWR of the size', () => {
    expect(PROCMAP_QUERY).toBe(3 * 2 ** 30 + (PROCMAP_QUERY_BYTES << 16) + ('f'.charCodeAt(0) << 8) + 17)
  })

  test('a question leaves no address without a size, and nothing of the last answer', () => {
    const view = new DataView(new Uint8Array(8 + PROCMAP_QUERY_BYTES).fill(0xff).buffer)
    encodeProcmapQuery(view, 8, { address: 0x7fff_ffff_f000, flags: 0x10, nameAt: 0x1234 })
    const words = Array.from({ length: 14 }, (_, i) => view.getBigUint64(8 * i, true))
    expect(words).toEqual([2n ** 64n - 1n, 104n, 16n, 0x7fff_ffff_f000n, 0n, 0n, 0n, 0n, 0n, 0n, 0n, 0n, 0n, 0n])
  })

  test('an answer', () => {
    const view = new DataView(new ArrayBuffer(PROCMAP_QUERY_BYTES))
    const words = [104n, 0n, 0n, 0x1000n, 0x3000n, 0x0dn, 2n ** 21n, 2n ** 40n, 2n ** 60n + 1n]
    for (const [i, word] of words.entries()) view.setBigUint64(8 * i, word, true)
    for (const [i, half] of [254, 3, 9, 20].entries()) view.setUint32(72 + 4 * i, half, true)
    const name = bytesOf('/new\nfile\0 of the last answer')
    view.setUint32(80, 10, true)
    expect(decodeProcmapQuery(view, 0, name)).toEqual({
      start: 0x1000,
      end: 0x3000,
      prot: 5,
      shared: true,
      pgoff_bytes: 2 ** 40,
      major: 254,
      minor: 3,
      ino: 2n ** 60n + 1n,
      path: '/new\nfile',
      deleted: false,
      escaped: false,
      page_size_bytes: 2 ** 21,
      buildIdSize: 20,
    })
    view.setUint32(80, 100, true)
    expect(() => decodeProcmapQuery(view, 0, name)).toThrow('a name of 100 bytes')
  })
})

test('PROCMAP_QUERY of a quiet process tells what maps tells, but for [vsyscall]', async () => {
  const child = Bun.spawn(['sleep', '60'])
  try {
    // Between fork and exec it still is a copy of this process.
    while (readFileSync(`/proc/${child.pid}/comm`, 'latin1') !== 'sleep\n') await Bun.sleep(1)
    await Bun.sleep(50)
    const fd = openSync(`/proc/${child.pid}/maps`, 'r')
    const answers = walk(fd)
    closeSync(fd)
    // Before Linux 6.11 there is no such call.
    if (answers === undefined) return
    const maps = parseMaps(readFileSync(`/proc/${child.pid}/maps`)).filter(mapping => mapping.path !== '[vsyscall]')
    expect(answers.length).toBe(maps.length)
    for (const [i, answer] of answers.entries()) expect(answer).toMatchObject(maps[i]!)
    const libc = answers.find(mapping => mapping.path.includes('/libc'))
    expect(libc).toMatchObject({ page_size_bytes: 4096, buildIdSize: 20 })
  } finally {
    child.kill()
    await child.exited
  }
})

function walk(fd: number): QueriedMapping[] | undefined {
  const arena = new Arena(3 * 4096)
  const query = arena.take(PROCMAP_QUERY_BYTES)
  const nameAt = arena.take(PROCMAP_NAME_BYTES)
  const buildIdAt = arena.take(PROCMAP_BUILD_ID_BYTES)
  const answers: QueriedMapping[] = []
  try {
    for (let address = 0; ;) {
      encodeProcmapQuery(arena.view, query - arena.address, {
        address,
        flags: PROCMAP_QUERY_COVERING_OR_NEXT_VMA,
        nameAt,
        nameSize: PROCMAP_NAME_BYTES,
        buildIdAt,
        buildIdSize: PROCMAP_BUILD_ID_BYTES,
      })
      const result = syscall(NR_IOCTL, fd, PROCMAP_QUERY, query)
      if (result === -ENOTTY) return undefined
      if (result === -ENOENT) return answers
      expect(result).toBe(0)
      const answer = decodeProcmapQuery(arena.view, query - arena.address, arena.at(nameAt, PROCMAP_NAME_BYTES))
      answers.push(answer)
      address = answer.end
    }
  } finally {
    arena.unmap()
  }
}
