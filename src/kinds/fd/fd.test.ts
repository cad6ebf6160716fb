// How open files are recognised, and what is in the files that they are known by.
import { expect, test } from 'bun:test'
import { fd_types } from '../../image/messages/files.ts'
import {
  O_PATH,
  O_RDWR,
  S_IFBLK,
  S_IFCHR,
  S_IFDIR,
  S_IFIFO,
  S_IFLNK,
  S_IFREG,
  S_IFSOCK,
} from '../../linux/constants.ts'
import { buildIdOf, buildIdText } from './build-id.ts'
import { fileKinds, kindOfFile, kindOfType, notYet, notYetDumped, notYetRestored, typeOf } from './index.ts'
import { openFlags } from './path.ts'

const dev = (major: number, minor: number): number => (major << 8) | minor

test('files are recognised by mode, device and link', () => {
  const kinds = (
    [
      [S_IFREG, 0, '/etc/hosts', 0, 'file'],
      [S_IFDIR, 0, '/tmp', 0, 'file'],
      [S_IFCHR, dev(1, 3), '/dev/null', 0, 'file'],
      [S_IFBLK, dev(254, 0), '/dev/vda', 0, 'file'],
      [S_IFIFO, 0, 'pipe:[81123]', 0, 'pipe'],
      [S_IFIFO, 0, '/tmp/fifo', 0, 'fifo'],
      // A fifo may be called like a pipe; its path begins at the root nonetheless.
      [S_IFIFO, 0, '/pipe:[1]', 0, 'fifo'],
      [S_IFCHR, dev(136, 3), '/dev/pts/3', 0, 'tty'],
      [S_IFCHR, dev(5, 2), '/dev/ptmx', 0, 'tty'],
      [S_IFLNK, 0, '/tmp/link', O_PATH, 'file'],
      [S_IFSOCK, 0, '/run/socket', O_PATH, 'file'],
      [S_IFIFO, 0, '/tmp/fifo', O_PATH, 'file'],
      [0, 0, 'anon_inode:[eventfd]', O_RDWR, 'eventfd'],
      [0, 0, 'anon_inode:[eventpoll]', O_RDWR, 'epoll'],
      [0, 0, 'anon_inode:[signalfd]', O_RDWR, 'signalfd'],
      [0, 0, 'anon_inode:[timerfd]', O_RDWR, 'timerfd'],
      // A file may be called so; a memfd has no name in any directory.
      [S_IFREG, 0, '/memfd:a file', O_RDWR, 'file'],
      [S_IFREG, 0, '/memfd:x (deleted)', O_RDWR, 'memfd', 0],
      [S_IFREG, 0, '/memfd:x (deleted)', O_PATH, 'memfd', 0],
      [S_IFREG, 0, '/tmp/x (deleted)', O_RDWR, 'file', 0],
    ] as const
  ).map(([mode, rdev, link, flags, name, nlink = 1]) => [
    link,
    name,
    kindOfFile({ mode: mode | 0o600, rdev, link, flags, nlink })?.name,
  ])
  for (const [link, name, found] of kinds) expect([link, found]).toEqual([link, name])
  expect(kindOfFile({ mode: 0o600, rdev: 0, link: 'anon_inode:[perf_event]', flags: 2, nlink: 1 })).toBeUndefined()
})

test('what is not carried over yet is known by name', () => {
  const says = (link: string, mode = 0o600, rdev = 0, nlink = 1): string | undefined =>
    notYetDumped({ mode, rdev, nlink, link, ours: -1 })?.says
  expect(says('anon_inode:[pidfd]')).toBe('a pidfd is not supported yet')
  expect(says('anon_inode:[eventfd]')).toBeUndefined()
  expect(says('anon_inode:inotify')).toBe('an inotify descriptor is not supported yet')
  expect(says('anon_inode:kvm-vcpu:0')).toBe('an anonymous file of kind kvm-vcpu:0 is not supported yet')
  expect(says('net:[4026531840]', S_IFREG)).toBe('a namespace file is not supported yet')
  expect(says('/memfd:a file', S_IFREG)).toBeUndefined()
  expect(says('/dev/net/tun', S_IFCHR, dev(10, 200))).toBe('a TUN or TAP device is not supported yet')
  expect(says('/dev/null', S_IFCHR, dev(1, 3))).toBeUndefined()
  expect(says('pipe:[1]', S_IFIFO)).toBeUndefined()
})

test('every type of the images has a kind or a name', () => {
  for (const [name, type] of Object.entries(fd_types)) {
    if (name === 'UND' || type > 1000) continue
    const kind = kindOfType(type)
    if (kind !== undefined) expect(typeOf(kind)).toBe(type)
    else expect(notYetRestored(type).says).not.toContain('of type')
  }
  expect(notYetRestored(4711).says).toBe('a file of type 4711 is not supported yet')
})

test('limits have names of their own', () => {
  const ids = [...fileKinds.flatMap(({ limits }) => limits), ...notYet].map(({ id }) => id)
  expect(ids.every(id => /^[a-z0-9-]+$/.test(id))).toBe(true)
  expect(new Set(ids).size).toBe(ids.length)
})

test('open flags of an image never create, cut, or take a terminal', () => {
  const NOCTTY_CLOEXEC = 0o2000400
  expect(openFlags(O_RDWR | 0o100 | 0o200 | 0o1000 | 0o20000)).toBe(O_RDWR | NOCTTY_CLOEXEC)
  expect(openFlags(0o20200000 | O_RDWR)).toBe(O_RDWR | NOCTTY_CLOEXEC)
  expect(openFlags(O_PATH | 0o100000 | 0o400000)).toBe(O_PATH | 0o400000 | 0o2000000)
})

/** An ELF file with one PT_NOTE segment of two notes. */
function elf(wide: boolean, id: Uint8Array, type = 3): Uint8Array {
  const file = new Uint8Array(4096)
  const view = new DataView(file.buffer)
  file.set([0x7f, 0x45, 0x4c, 0x46, wide ? 2 : 1, 1, 1])
  const phoff = wide ? 64 : 52
  if (wide) view.setBigUint64(32, BigInt(phoff), true)
  else view.setUint32(28, phoff, true)
  view.setUint16(wide ? 56 : 44, 2, true)
  const header = phoff + (wide ? 56 : 32)
  view.setUint32(header, 4, true)
  if (wide) {
    view.setBigUint64(header + 8, 1024n, true)
    view.setBigUint64(header + 32, 256n, true)
  } else {
    view.setUint32(header + 4, 1024, true)
    view.setUint32(header + 16, 256, true)
  }
  let at = 1024
  const note = (name: string, kind: number, desc: Uint8Array): void => {
    view.setUint32(at, name.length + 1, true)
    view.setUint32(at + 4, desc.length, true)
    view.setUint32(at + 8, kind, true)
    file.set(new TextEncoder().encode(name), at + 12)
    at += 12 + Math.ceil((name.length + 1) / 4) * 4
    file.set(desc, at)
    at += Math.ceil(desc.length / 4) * 4
  }
  note('first', 1, Uint8Array.of(1, 2, 3))
  note('GNU', type, id)
  return file
}

test('build ids', () => {
  const of = (file: Uint8Array): number[] =>
    buildIdOf(file.length, (offset, length) => file.subarray(offset, offset + length))
  const id = Uint8Array.of(1, 2, 3, 4, 5)
  expect(of(elf(true, id))).toEqual([0x04030201, 5])
  expect(of(elf(false, id))).toEqual([0x04030201, 5])
  expect(buildIdText([0x04030201, 5])).toBe('0102030405000000')
  expect(of(elf(true, id, 4))).toEqual([])
  expect(of(elf(true, new Uint8Array(0)))).toEqual([])
  expect(of(new Uint8Array(64))).toEqual([])
  expect(of(new Uint8Array(3))).toEqual([])
  // Any word of a file may be any number: nothing is read outside of it.
  const good = elf(true, id)
  for (let at = 0; at < 200; at++) {
    const damaged = good.slice()
    new DataView(damaged.buffer).setUint32(at, 0xffff_fff0, true)
    expect(of(damaged).length).toBeLessThanOrEqual(2)
  }
})
