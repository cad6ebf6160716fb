import { describe, expect, test } from 'bun:test'
import { BardoError } from '../../base/errors.ts'
import { NR } from '../../linux/nr.ts'
import { parseMaps } from '../../linux/proc/maps.ts'
import { bytesAt } from '../../linux/ffi.ts'
import { AT_FDCWD } from '../../linux/constants.ts'
import { readFile } from '../../linux/sys.ts'
import { parseVdso, patchesOf, sameEntries } from './vdso.ts'

const map = parseMaps(readFile(AT_FDCWD, '/proc/self/maps')!).find(({ path }) => path === '[vdso]')

const failure = (call: () => unknown): string => {
  try {
    call()
  } catch (thrown) {
    if (thrown instanceof BardoError) return thrown.code
    throw thrown
  }
  return 'nothing'
}

describe('a vdso', () => {
  if (map === undefined) console.log('skipped: this kernel gives no vdso')
  test.if(map !== undefined)('is read by its dynamic section', () => {
    const own = bytesAt(map!.start, map!.end - map!.start).slice()
    const symbols = parseVdso(own)
    expect([...symbols.keys()]).toContain('__vdso_clock_gettime')
    expect(symbols.get('clock_gettime')).toBe(symbols.get('__vdso_clock_gettime'))
    expect(sameEntries(symbols, parseVdso(own))).toBe(true)
    // Cut or damaged anywhere it is a bad image, and nothing else.
    for (let length = 0; length < own.length; length += 7)
      expect(['nothing', 'bad-image']).toContain(failure(() => parseVdso(own.subarray(0, length))))
    for (let at = 0; at < own.length; at++) {
      const damaged = own.slice()
      damaged[at]! ^= 0xff
      expect(['nothing', 'bad-image']).toContain(failure(() => parseVdso(damaged)))
    }
  })

  test('has jumps to ours where ours has the function, and its call where not', () => {
    const theirs = new Map([
      ['__vdso_time', 0x100],
      ['time', 0x100],
      ['__vdso_getrandom', 0x80],
      ['__vdso_of_tomorrow', 0x200],
    ])
    const patches = patchesOf(theirs, new Map([['__vdso_time', 0x400]]), 0x7fff_0000_0000, 0x1000)
    expect(patches.map(({ at }) => at)).toEqual([0x80, 0x100])
    expect(Buffer.from(patches[1]!.code).toString('hex')).toBe('48b800040000ff7f0000ffe0')
    const call = Buffer.from(patches[0]!.code)
    expect([call[3], call.readUInt32LE(4), call.subarray(8, 11).toString('hex')]).toEqual([
      0xb8,
      NR.getrandom,
      '0f05c3',
    ])
  })

  test('whose functions overlap or are outside of it is refused', () => {
    const ours = new Map([
      ['time', 0],
      ['getcpu', 16],
    ])
    const at = (time: number, getcpu: number): string =>
      failure(() =>
        patchesOf(
          new Map([
            ['time', time],
            ['getcpu', getcpu],
          ]),
          ours,
          0x1000,
          0x1000,
        ),
      )
    expect(at(0x100, 0x10c)).toBe('nothing')
    expect(at(0x100, 0x10b)).toBe('bad-image')
    expect(at(0x100, 0xff4)).toBe('nothing')
    expect(at(0x100, 0xff5)).toBe('bad-image')
    expect(at(-12, 0x100)).toBe('bad-image')
    expect(at(0x100, Number(1n << 63n))).toBe('bad-image')
  })
})
