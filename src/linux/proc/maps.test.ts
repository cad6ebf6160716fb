import { afterAll, describe, expect, test } from 'bun:test'
import { closeSync, ftruncateSync, mkdtempSync, openSync, readFileSync, rmSync, unlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { cpuTimeOf } from '../../../test/cpu-time.ts'
import { bytesOf } from '../../base/bytes.ts'
import { BardoError } from '../../base/errors.ts'
import { syscall } from '../ffi.ts'
import { parseMaps } from './maps.ts'

const lines = (...all: string[]) => bytesOf(`${all.join('\n')}\n`)
const one = (line: string) => parseMaps(lines(line))[0]!

describe('a line of maps', () => {
  test('a segment of a program', () => {
    expect(
      parseMaps(lines('55ce2496c000-55ce2496d000 r-xp 00001000 fe:00 26723                      /usr/bin/python3.11')),
    ).toEqual([
      {
        start: 0x55ce2496c000,
        end: 0x55ce2496d000,
        prot: 5,
        shared: false,
        pgoff_bytes: 0x1000,
        major: 0xfe,
        minor: 0,
        ino: 26723,
        path: '/usr/bin/python3.11',
        deleted: false,
        escaped: false,
      },
    ])
  })

  test('the gate page above 2^63 keeps its exact address', () => {
    const mapping = one('ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]')
    expect(BigInt(mapping.start)).toBe(0xffffffffff600000n)
    expect(BigInt(mapping.end)).toBe(0xffffffffff601000n)
    expect(mapping.prot).toBe(4)
  })

  test('a file offset above 2^53 is exact', () => {
    expect(BigInt(one('1000-2000 ---p 7ffffffffffff000 00:00 0 /f').pgoff_bytes)).toBe(0x7ffffffffffff000n)
  })

  test('an inode above 2^53 is exact', () => {
    expect(one('1000-2000 rw-s 00000000 00:2f 18446744073709551615 /f').ino).toBe(18446744073709551615n)
    expect(one('1000-2000 rw-s 00000000 00:2f 9007199254740991 /f').ino).toBe(9007199254740991)
    expect(one('1000-2000 rw-s 00000000 00:2f 9007199254740993 /f').ino).toBe(9007199254740993n)
  })

  const paths: [name: string, shown: string, path: string, deleted: boolean, escaped: boolean][] = [
    ['no name', '', '', false, false],
    ['spaces', '/tmp/with  space ', '/tmp/with  space ', false, false],
    ['a newline', '/tmp/new\\012line', '/tmp/new\nline', false, true],
    ['another escape is no escape: the backslash is not escaped', '/tmp/a\\040b\\', '/tmp/a\\040b\\', false, false],
    ['bytes that are no UTF-8', '/tmp/bad\udcff\udcfe', '/tmp/bad\udcff\udcfe', false, false],
    ['UTF-8', '/tmp/ä😀', '/tmp/ä😀', false, false],
    ['a deleted file', '/tmp/gone (deleted)', '/tmp/gone (deleted)', true, false],
    ['a memfd with a bad name', '/memfd:mem fd\\012) (deleted)', '/memfd:mem fd\n) (deleted)', true, true],
    ['SysV shared memory', '/SYSV00000000 (deleted)', '/SYSV00000000 (deleted)', true, false],
    ['named anonymous memory', '[anon:my name]', '[anon:my name]', false, false],
    ['an anonymous inode', 'anon_inode:[perf_event]', 'anon_inode:[perf_event]', false, false],
  ]
  for (const [name, shown, path, deleted, escaped] of paths)
    test(name, () => {
      const head = '7f54b0bba000-7f54b0bbb000 rw-s 00000000 fe:00 2187502 '
      expect(one(shown === '' ? head : `${head.padEnd(73)}${shown}`)).toMatchObject({ path, deleted, escaped })
    })

  test('names that repeat, differ late, or stop', () => {
    const names = ['/a/libx.so', '/a/libx.so', '/a/liby.so', '', '/a/liby.so', '/a/liby.so.1', '[heap]']
    const text = names.map(
      (name, i) => `${(i + 1).toString(16)}000-${(i + 2).toString(16)}000 r--p 00000000 00:00 0 ${name}`,
    )
    expect(parseMaps(lines(...text)).map(mapping => mapping.path)).toEqual(names)
  })
})

describe('what is no maps file', () => {
  const cases: [name: string, text: string, byte: number][] = [
    ['a line cut short', '1000-2000 rw-p 00000000 00:00 0 /usr/lib', 40],
    ['an empty line', '\n', 0],
    ['no range', '1000 rw-p', 4],
    ['an end before the start', '2000-1000 rw-p 00000000 00:00 0 \n', 0],
    ['half a page', '1000-1800 rw-p 00000000 00:00 0 \n', 0],
    ['an unknown permission', '1000-2000 qw-p 00000000 00:00 0 \n', 10],
    ['neither private nor shared', '1000-2000 rw-- 00000000 00:00 0 \n', 13],
    ['17 digits', '10000000000001000-2000 rw-p 00000000 00:00 0 \n', 0],
    ['no inode', '1000-2000 rw-p 00000000 00:00 \n', 30],
    ['an inode of more than 64 bits', '1000-2000 rw-p 00000000 00:00 18446744073709551616 \n', 30],
    ['a name that touches the inode', '1000-2000 rw-p 00000000 00:00 0/usr\n', 31],
  ]
  for (const [name, text, byte] of cases)
    test(name, () => {
      try {
        parseMaps(bytesOf(text))
      } catch (error) {
        expect(error).toBeInstanceOf(BardoError)
        expect(error).toMatchObject({ code: 'bug', where: `maps, byte ${byte} of ${text.length}` })
        return
      }
      throw new Error('it was taken')
    })

  test('no bytes are no mappings', () => expect(parseMaps(new Uint8Array(0))).toEqual([]))
})

describe('maps of this kernel', () => {
  const folder = mkdtempSync(join(tmpdir(), 'maps-'))
  afterAll(() => rmSync(folder, { recursive: true }))

  // What a comment in maps.ts claims: the newline is escaped, the backslash is not, the rest comes as it is.
  for (const name of ['plain', 'with space ', 'new\nline', 'lit\\012eral', 'tab\tand\\', 'bad\udcff\udcfe', 'gone'])
    test(`a file named ${JSON.stringify(name)}`, () => {
      const path = `${folder}/${name}`
      const raw = Buffer.from(bytesOf(path))
      const fd = openSync(raw, 'w+')
      ftruncateSync(fd, 3 * 4096)
      // mmap(0, 2 pages, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 1 page)
      const address = syscall(9, 0, 2 * 4096, 3, 1, fd, 4096)
      expect(address).toBeGreaterThan(0)
      if (name === 'gone') unlinkSync(raw)
      try {
        const mapping = parseMaps(readFileSync('/proc/self/maps')).find(each => each.start === address)
        expect(mapping).toMatchObject({ end: address + 2 * 4096, prot: 3, shared: true, pgoff_bytes: 4096 })
        expect(mapping).toMatchObject(
          name === 'lit\\012eral'
            ? { path: `${folder}/lit\neral`, escaped: true } // Nothing in the file tells it apart.
            : name === 'gone'
              ? { path: `${path} (deleted)`, deleted: true }
              : { path, deleted: false, escaped: name === 'new\nline' },
        )
      } finally {
        syscall(11, address, 2 * 4096)
        closeSync(fd)
      }
    })

  test('has this program and its stack', () => {
    const mappings = parseMaps(readFileSync('/proc/self/maps'))
    const paths = mappings.map(mapping => mapping.path)
    expect(paths).toContain(process.execPath)
    expect(paths).toContain('[stack]')
    for (const [i, mapping] of mappings.entries())
      expect(mapping.start).toBeGreaterThanOrEqual(mappings[i - 1]?.end ?? 0)
  })
})

test('65,000 mappings are parsed in well under the time that the kernel takes to print them', () => {
  const text: string[] = []
  for (let i = 0; i < 65_000; i++) {
    const start = 0x7f0000000000 + i * 8192
    const path = i % 3 === 0 ? '' : `/usr/lib/x86_64-linux-gnu/libnumber${Math.trunc(i / 5)}.so.1`
    const head = `${start.toString(16)}-${(start + 4096).toString(16)} r-xp 00001000 fe:00 ${i} `
    text.push(path === '' ? head : head.padEnd(73) + path)
  }
  const bytes = lines(...text)
  // It takes tens of milliseconds; with the square of the lines it would take minutes.
  expect(cpuTimeOf(() => expect(parseMaps(bytes).length).toBe(65_000))).toBeLessThan(5000)
})
