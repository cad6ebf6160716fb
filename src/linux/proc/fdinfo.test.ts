import { describe, expect, test } from 'bun:test'
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { bytesOf } from '../../base/bytes.ts'
import { syscall } from '../ffi.ts'
import { parseFdinfo } from './fdinfo.ts'

const HEAD = 'pos:\t12\nflags:\t0100002\nmnt_id:\t27\nino:\t3\n'
const extraOf = (text: string) => Object.fromEntries(parseFdinfo(bytesOf(HEAD + text)).extra)

describe('fdinfo', () => {
  test('what all have', () => {
    expect(parseFdinfo(bytesOf(HEAD))).toEqual({
      pos: 12n,
      flags: 0o100002,
      mnt_id: 27,
      ino: 3,
      locks: [],
      extra: new Map(),
    })
  })

  test('before Linux 5.14 there is no inode', () => {
    expect(parseFdinfo(bytesOf(HEAD.replace('ino:\t3\n', '')))).not.toHaveProperty('ino')
  })

  test('extreme positions and inodes', () => {
    const text = 'pos:\t-9223372036854775808\nflags:\t02\nmnt_id:\t1\nino:\t18446744073709551615\n'
    expect(parseFdinfo(bytesOf(text))).toMatchObject({ pos: -(2n ** 63n), ino: 2n ** 64n - 1n })
    expect(parseFdinfo(bytesOf(HEAD.replace('12', '9223372036854775807'))).pos).toBe(2n ** 63n - 1n)
  })

  test('locks', () => {
    const lock = '1: FLOCK  ADVISORY  WRITE 4312 fe:00:1234 0 EOF'
    const info = parseFdinfo(bytesOf(`${HEAD}lock:\t${lock}\nlock:\t2: POSIX  ADVISORY  READ 7 fe:00:9 0 9\nx: y\n`))
    expect(info.locks).toEqual([lock, '2: POSIX  ADVISORY  READ 7 fe:00:9 0 9'])
    expect(info.extra).toEqual(new Map([['x', ['y']]]))
  })

  test('lines of the kinds', () => {
    expect(extraOf('eventfd-count:                3\neventfd-id: 7\neventfd-semaphore: 0\n')).toEqual({
      'eventfd-count': ['3'],
      'eventfd-id': ['7'],
      'eventfd-semaphore': ['0'],
    })
    expect(extraOf('clockid: 0\nticks: 0\nsettime flags: 01\nit_value: (0, 49406829)\nit_interval: (1, 0)\n')).toEqual({
      clockid: ['0'],
      ticks: ['0'],
      'settime flags': ['01'],
      it_value: ['(0, 49406829)'],
      it_interval: ['(1, 0)'],
    })
    expect(
      extraOf(
        'tfd:        5 events:       1d data: ffffffffffffffff pos:0 ino:61af sdev:7\ntfd:        6 events:       1\n',
      ),
    ).toEqual({ tfd: ['5 events:       1d data: ffffffffffffffff pos:0 ino:61af sdev:7', '6 events:       1'] })
    expect(extraOf('inotify wd:3 ino:9e7e sdev:800013\ninotify wd:2 ino:a111\n')).toEqual({
      'inotify wd': ['3 ino:9e7e sdev:800013', '2 ino:a111'],
    })
    expect(extraOf('no colon \n\nempty:\n')).toEqual({ 'no colon ': [''], '': [''], empty: [''] })
  })

  test('a name that its owner chose cannot pass for a position or a lock', () => {
    const info = parseFdinfo(bytesOf(`${HEAD}name:\tx\npos:\t99\nlock:\t1: FLOCK\n`))
    expect(info).toMatchObject({ pos: 12n, locks: [] })
    expect([...info.extra.keys()]).toEqual(['name', 'pos', 'lock'])
  })

  const bad: [name: string, text: string][] = [
    ['nothing', ''],
    ['no flags', 'pos:\t0\nmnt_id:\t1\n'],
    ['flags that are not octal', HEAD.replace('0100002', '0x8002')],
    ['a position of 65 bits', HEAD.replace('12', '9223372036854775808')],
    ['a line cut short', `${HEAD}eventfd-count: 3`],
  ]
  for (const [name, text] of bad)
    test(name, () => expect(() => parseFdinfo(bytesOf(text))).toThrow('cannot parse fdinfo'))
})

describe('fdinfo of this kernel', () => {
  test('a file with a position, O_APPEND and a lock', () => {
    const folder = mkdtempSync(join(tmpdir(), 'fdinfo-'))
    const fd = openSync(join(folder, 'f'), 'a+')
    try {
      writeSync(fd, 'hello')
      // flock(fd, LOCK_EX)
      expect(syscall(73, fd, 2)).toBe(0)
      const info = parseFdinfo(readFileSync(`/proc/self/fdinfo/${fd}`))
      expect(info.pos).toBe(5n)
      // O_RDWR, O_APPEND
      expect(info.flags & 0o3).toBe(0o2)
      expect(info.flags & 0o2000).toBe(0o2000)
      expect(info.locks.length).toBe(1)
      expect(info.locks[0]).toContain('FLOCK')
      expect(info.extra.size).toBe(0)
    } finally {
      closeSync(fd)
      rmSync(folder, { recursive: true })
    }
  })

  test('an eventfd', () => {
    // eventfd2(258, EFD_CLOEXEC)
    const fd = syscall(290, 258, 0o2000000)
    try {
      const info = parseFdinfo(readFileSync(`/proc/self/fdinfo/${fd}`))
      // In hexadecimal, as eventfd_show_fdinfo prints it.
      expect(info.extra.get('eventfd-count')).toEqual(['102'])
      expect(info.flags & 0o2000000).toBe(0o2000000)
    } finally {
      syscall(3, fd)
    }
  })
})
