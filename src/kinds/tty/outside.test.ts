// Terminals that stay outside, /dev/tty, serial lines, and what is refused with which words.
import { afterEach, expect, test } from 'bun:test'
import { closeSync, existsSync, fstatSync, openSync, readlinkSync } from 'node:fs'
import { BardoError } from '../../base/errors.ts'
import type { External } from '../../base/options.ts'
import { ImageDirectory } from '../../image/directory.ts'
import { TtyType } from '../../image/messages/tty.ts'
import {
  F_GETFL,
  F_SETFL,
  O_CLOEXEC,
  O_NOCTTY,
  O_NONBLOCK,
  O_RDWR,
  TCSETS2,
  TIOCSWINSZ,
} from '../../linux/constants.ts'
import { must, statOf, sys } from '../../linux/sys.ts'
import { askNumber, readSettings, readTermios, readWinsize } from './device.ts'
import { Infos } from './info.ts'
import { newPair, Rig, saidToTasks, type World } from '../../../test/rigs/tty.ts'
import { termiosBytes, type Termios } from './termios.ts'

const closing: number[] = []
afterEach(() => {
  for (const fd of closing.splice(0)) sys('close', fd)
})
const later = <T extends readonly number[]>(fds: T): T => {
  closing.push(...fds)
  return fds
}
const pair = (): { master: number; slave: number } => {
  const made = newPair()
  later([made.master, made.slave])
  return made
}

const set = (fd: number, change: Partial<Termios>): void =>
  void must('ioctl', fd, TCSETS2, termiosBytes({ ...readTermios(fd), ...change }))
const nameOf = (fd: number): External & { kind: 'tty' } => {
  const { rdev, dev } = fstatSync(fd)
  return { kind: 'tty', rdev, dev }
}
const wrongWith = (act: () => unknown): BardoError => {
  try {
    act()
  } catch (thrown) {
    if (thrown instanceof BardoError) return thrown
    throw thrown
  }
  throw new Error('nothing was refused')
}

test('a terminal outside is an EXT_TTY with its settings, without a path, once for all descriptions', () => {
  const { slave } = pair()
  set(slave, { c_lflag: 0 })
  const second = openSync(`/proc/self/fd/${slave}`, O_RDWR | O_NOCTTY)
  using rig = new Rig()
  rig.dump(later([slave, second]), { externals: [nameOf(slave)] }, false)
  const entries = rig.images.read('TTY_INFO')
  expect(entries.length).toBe(1)
  const { rdev, dev } = fstatSync(slave)
  expect(entries[0]).toMatchObject({ id: 2026, type: TtyType.EXT_TTY, rdev, dev, sid: 0, pgrp: 0 })
  expect(entries[0]!.termios!.c_lflag).toBe(0)
  expect(entries[0]!.pty).toBeUndefined()
  for (const { tty } of rig.images.read('FILES')) expect(tty!.regf_id).toBeUndefined()
})

test('a terminal that is given gets the settings and keeps its own size; each file is a description of its own', () => {
  const before = pair()
  const after = pair()
  set(before.slave, { c_lflag: 0o5 })
  must('ioctl', after.master, TIOCSWINSZ, new Uint8Array(Uint16Array.of(50, 132, 0, 0).buffer))
  using rig = new Rig()
  const resource = nameOf(before.slave)
  const ids = rig.dump([before.slave], { externals: [resource] }, false)
  const [made] = later(rig.restore(ids, { inherited: [{ fd: after.slave, resource }] }))
  expect(readTermios(after.slave).c_lflag).toBe(0o5)
  expect(readWinsize(after.slave)).toMatchObject({ ws_row: 50, ws_col: 132 })
  expect(readlinkSync(`/proc/self/fd/${made}`)).toBe(readlinkSync(`/proc/self/fd/${after.slave}`))
  must('fcntl', made, F_SETFL, 0)
  expect(must('fcntl', after.slave, F_GETFL) & O_NONBLOCK).toBe(O_NONBLOCK)
})

test('a terminal that controls a session of the tree is taken by its leader', () => {
  const { slave } = pair()
  const after = pair()
  const resource = nameOf(slave)
  const world: World = {
    externals: [resource],
    inherited: [{ fd: after.slave, resource }],
    leaders: [77],
    sessions: [{ sid: 77, tty_nr: resource.rdev, tpgid: 78 }],
  }
  using rig = new Rig()
  later(rig.restore(rig.dump([slave], world, false), world))
  // TIOCSCTTY, then TIOCSPGRP.
  expect(saidToTasks).toEqual(['77: ioctl(fd, 21518, 1)', '77: ioctl(fd, 21520, memory)'])
  expect(rig.images.read('TTY_INFO')[0]).toMatchObject({ sid: 77, pgrp: 78 })
})

test('what is refused names the option to add', () => {
  const { slave } = pair()
  const { rdev, dev } = fstatSync(slave)
  const key = `tty[${rdev.toString(16)}:${dev.toString(16)}]`
  using bare = new Rig()
  expect(wrongWith(() => bare.dump([slave], {}, false)).hint).toBe(`name it as outside: --external '${key}'`)
  using job = new Rig()
  const sessions = [{ sid: 5, tty_nr: rdev, tpgid: 6 }]
  expect(wrongWith(() => job.dump([slave], { sessions }, false)).hint).toBe(
    `dump it as a shell's job: --shell-job (-j), or name it as outside: --external '${key}'`,
  )
  using rig = new Rig()
  const ids = rig.dump([slave], { externals: [nameOf(slave)] }, false)
  expect(wrongWith(() => rig.restore(ids)).hint).toBe(`give one of your descriptors: --inherit-fd 'fd[1]:${key}'`)
  const file = openSync('/dev/null', 'r')
  later([file])
  expect(wrongWith(() => rig.restore(ids, { inherited: [{ fd: file, resource: nameOf(slave) }] })).what).toBe(
    `--inherit-fd 'fd[${file}]:${key}': descriptor ${file} is not an open terminal`,
  )
  const other = pair()
  expect(
    wrongWith(() => rig.restore(ids, { inherited: [{ fd: other.master, resource: nameOf(slave) }] })).what,
  ).toContain('is the master of a pty')
})

test("a shell's job is saved as CRIU saves it, and needs a terminal to come back to", () => {
  const { slave } = pair()
  const { rdev } = fstatSync(slave)
  using rig = new Rig()
  const ids = rig.dump([slave], { shellJob: true, sessions: [{ sid: 5, tty_nr: rdev, tpgid: 6 }] }, false)
  expect(rig.images.read('TTY_INFO')[0]).toMatchObject({ type: TtyType.PTY, sid: 5, pgrp: 6 })
  expect(wrongWith(() => rig.restore(ids)).hint).toContain('--shell-job (-j)')
  const after = pair()
  const saved = must('fcntl', 0, 1030, 10)
  try {
    must('dup3', after.slave, 0, 0)
    set(slave, { c_lflag: 0 })
    const [made] = later(rig.restore(ids, { shellJob: true }))
    expect(readlinkSync(`/proc/self/fd/${made}`)).toBe(readlinkSync(`/proc/self/fd/${after.slave}`))
  } finally {
    must('dup3', saved, 0, 0)
    closeSync(saved)
  }
})

test('a serial line is opened again by its path, with its settings', () => {
  if (!existsSync('/dev/ttyS0')) return console.log('skipped: no /dev/ttyS0')
  const fd = sys('openat', -100, '/dev/ttyS0', O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC)
  if (fd < 0) return console.log('skipped: /dev/ttyS0 cannot be opened')
  later([fd])
  const before = readSettings(fd)
  using rig = new Rig()
  const ids = rig.dump([fd], {}, false)
  expect(rig.images.read('TTY_INFO')[0]).toMatchObject({ id: 2020, type: TtyType.SERIAL })
  const [made] = later(rig.restore(ids))
  expect(readSettings(made!)).toEqual(before)
  expect(statOf(made!, '', 0x1000)).toEqual(statOf(fd, '', 0x1000))
})

test('a virtual terminal whose keys a program takes itself is refused by name', () => {
  const path = '/dev/tty44'
  if (!existsSync(path)) return console.log(`skipped: no ${path}`)
  const fd = sys('openat', -100, path, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC)
  if (fd < 0) return console.log(`skipped: ${path} cannot be opened`)
  later([fd])
  const [KDGKBMODE, KDSKBMODE, K_MEDIUMRAW] = [0x4b44, 0x4b45, 2]
  const before = askNumber(fd, KDGKBMODE, 1)
  must('ioctl', fd, KDSKBMODE, K_MEDIUMRAW)
  try {
    using rig = new Rig()
    expect(wrongWith(() => rig.dump([fd], {}, false)).what).toContain('whose keys it takes unprocessed')
  } finally {
    must('ioctl', fd, KDSKBMODE, before)
  }
  using rig = new Rig()
  rig.dump([fd], {}, false)
  expect(rig.images.read('TTY_INFO')[0]).toMatchObject({ type: TtyType.VT })
})

test("CRIU's image of a pair is read: settings in packed bytes, what was typed", () => {
  const folder = openSync(`${import.meta.dir}/../../../test/golden/images`, 'r')
  const images = new ImageDirectory(folder)
  const infos = new Infos(images.read('TTY_INFO'), images.read('TTY_DATA'))
  closeSync(folder)
  const [master, slave] = [infos.get(1), infos.get(0)]
  expect(infos.peerOf(slave)).toBe(master)
  expect([...slave.settings!.termios.c_cc.subarray(0, 12)]).toEqual([
    3, 0x1c, 0x7f, 0x15, 4, 0, 3, 0, 0x11, 0x13, 0x1a, 0,
  ])
  const { lines, rest } = infos.inputOf(slave)
  expect([lines.length, Buffer.from(rest).toString()]).toEqual([0, 'to slave'])
})
