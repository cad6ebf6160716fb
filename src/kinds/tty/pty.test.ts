// Pairs through a dump and a restore of our own descriptors: Linux says whether they are what they were.
// It is long: each thing that a pair can hold is a case of its own.
import { afterEach, expect, test } from 'bun:test'
import { closeSync, fstatSync, mkdirSync, readdirSync, readlinkSync, rmdirSync } from 'node:fs'
import {
  F_GETFL,
  O_CLOEXEC,
  O_NOCTTY,
  O_NONBLOCK,
  O_RDONLY,
  O_RDWR,
  POLLHUP,
  POLLIN,
  POLLOUT,
  TCSETS2,
  TIOCEXCL,
  TIOCGEXCL,
  TIOCGPKT,
  TIOCGPTLCK,
  TIOCGPTN,
  TIOCGPTPEER,
  TIOCPKT,
  TIOCSLCKTRMIOS,
  TIOCSPTLCK,
  TIOCSWINSZ,
} from '../../linux/constants.ts'
import { must, sys } from '../../linux/sys.ts'
import { askNumber, isHungUp, pollFile, readSettings, readTermios } from './device.ts'

import { int } from './refill.ts'
import { newPair, read, Rig, write } from '../../../test/rigs/tty.ts'
import { ICANON, termiosBytes, TERMIOS_SIZE, VINTR, VMIN, type Termios } from './termios.ts'

const closing: number[] = []
afterEach(() => {
  for (const fd of closing.splice(0)) sys('close', fd)
})
const later = (...fds: number[]): number[] => {
  closing.push(...fds)
  return fds
}

const set = (fd: number, change: Partial<Termios>): void =>
  void must('ioctl', fd, TCSETS2, termiosBytes({ ...readTermios(fd), ...change }))
/** Any speed, of output and input. */
const [BOTHER, IBSHIFT] = [0o10000, 16]

/** Dumps a pair and restores it. */
function through(master: number, slave: number): [number, number] {
  using rig = new Rig()
  const ids = rig.dump([master, slave])
  return later(...rig.restore(ids)) as [number, number]
}

test('settings, any speed, locked settings and the window size come back', () => {
  const { master, slave } = newPair()
  const c_cc = readTermios(slave).c_cc.slice()
  c_cc[VINTR] = 0x1d
  c_cc[VMIN] = 200
  set(slave, { c_cc, c_cflag: BOTHER | (BOTHER << IBSHIFT) | 0o60, c_ispeed: 1234, c_ospeed: 31250, c_lflag: 0o105073 })
  const locked = termiosBytes({
    ...readTermios(slave),
    c_iflag: 0o400,
    c_oflag: 0,
    c_cflag: 0,
    c_lflag: 0o10,
    c_cc: new Uint8Array(19),
  })
  must('ioctl', slave, TIOCSLCKTRMIOS, locked.subarray(0, TERMIOS_SIZE))
  must('ioctl', master, TIOCSWINSZ, new Uint8Array(Uint16Array.of(33, 77, 5, 6).buffer))
  const before = readSettings(slave)
  const [m, s] = through(master, slave)
  expect(readSettings(s)).toEqual(before)
  expect(readSettings(m)!.termios).toMatchObject({ c_ispeed: 1234, c_ospeed: 31250 })
})

test('packet mode, lock, exclusive use, owner, mode and status flags come back', () => {
  const { master, slave } = newPair()
  must('ioctl', master, TIOCPKT, int(1))
  must('ioctl', slave, TIOCEXCL)
  must('ioctl', master, TIOCSPTLCK, int(1))
  must('fchown', slave, 12, 34)
  must('fchmod', slave, 0o624)
  const [m, s] = through(master, slave)
  expect([TIOCGPKT, TIOCGPTLCK, TIOCGEXCL].map(one => askNumber(m, one, 0))).toEqual([1, 1, 0])
  expect(askNumber(s, TIOCGEXCL, 0)).toBe(1)
  const { uid, gid, mode } = fstatSync(s)
  expect([uid, gid, mode & 0o7777]).toEqual([12, 34, 0o624])
  expect([m, s].map(fd => must('fcntl', fd, F_GETFL) & O_NONBLOCK)).toEqual([0, O_NONBLOCK])
})

test('the number is the same where it is free, and any other where it is not', () => {
  const pairs = [newPair(), newPair(), newPair()]
  const names = pairs.map(({ slave }) => readlinkSync(`/proc/self/fd/${slave}`))
  const numbers = pairs.map(({ master }) => askNumber(master, TIOCGPTN, 0))
  using rig = new Rig()
  // The last one first: those below it are wanted too.
  const ids = rig.dump(pairs.toReversed().flatMap(({ master, slave }) => [slave, master]))
  const other = newPair()
  later(other.master, other.slave)
  const taken = askNumber(other.master, TIOCGPTN, 0)
  const made = later(...rig.restore(ids))
  const got = [5, 3, 1].map(index => askNumber(made[index]!, TIOCGPTN, 0))
  expect(numbers.map((wanted, i) => (wanted === taken ? taken : got[i]!))).toEqual(numbers)
  expect(new Set(got).size).toBe(3)
  for (const index of [0, 2, 4]) {
    const name = readlinkSync(`/proc/self/fd/${made[index]}`)
    expect(name).toBe(`/dev/pts/${askNumber(made[index + 1]!, TIOCGPTN, 0)}`)
    write(made[index + 1]!, `to ${name}\n`)
    pollFile(made[index]!, POLLIN, 1000)
    expect(read(made[index]!)).toBe(`to ${name}\n`)
  }
  expect(names.length).toBe(3)
})

test('several descriptions of a slave, each with its own flags', () => {
  const { master, slave } = newPair()
  const second = must('ioctl', master, TIOCGPTPEER, O_RDONLY | O_NOCTTY | O_CLOEXEC)
  using rig = new Rig()
  const made = later(...rig.restore(rig.dump([second, master, slave])))
  expect(made.map(fd => must('fcntl', fd, F_GETFL) & (O_RDWR | O_NONBLOCK))).toEqual([
    O_RDONLY,
    O_RDWR,
    O_RDWR | O_NONBLOCK,
  ])
  expect(rig.images.read('TTY_INFO').length).toBe(2)
})

test('a master without a slave: never opened, or closed again', () => {
  const fresh = must('openat', -100, '/dev/ptmx', O_RDWR | O_NOCTTY | O_CLOEXEC)
  const { master: closed, slave } = newPair()
  write(slave, 'last words')
  closeSync(slave)
  using rig = new Rig()
  const [a, b] = later(...rig.restore(rig.dump([fresh, closed])))
  expect(pollFile(a!, POLLIN | POLLOUT)).toBe(POLLOUT)
  expect(askNumber(a!, TIOCGPTLCK, 0)).toBe(1)
  expect(pollFile(b!, POLLIN) & POLLHUP).toBe(POLLHUP)
  expect([read(b!), read(b!)]).toEqual(['last words', -5])
})

test('a slave whose master was closed is hung up again', () => {
  const { master, slave } = newPair()
  closeSync(master)
  using rig = new Rig()
  const [s] = later(...rig.restore(rig.dump([slave])))
  expect(isHungUp(s!)).toBe(true)
  expect(read(s!)).toBe('')
})

test('two devpts with one number are two terminals', () => {
  const folder = `/tmp/bardo-devpts-${process.pid}`
  mkdirSync(folder)
  if (Bun.spawnSync(['mount', '-t', 'devpts', '-o', 'newinstance,ptmxmode=666', 'devpts', folder]).exitCode !== 0) {
    rmdirSync(folder)
    console.log('skipped: no right to mount a devpts')
    return
  }
  try {
    const here = newPair()
    const there: { master: number; slave: number }[] = []
    do there.push(newPair(`${folder}/ptmx`))
    while (askNumber(there.at(-1)!.master, TIOCGPTN, 0) < askNumber(here.master, TIOCGPTN, 0))
    const twin = there.pop()!
    for (const { master, slave } of there) for (const fd of [master, slave]) closeSync(fd)
    set(here.slave, { c_lflag: 0 })
    write(here.master, 'here')
    write(twin.master, 'there\n')
    using rig = new Rig()
    const ids = rig.dump([twin.slave, here.slave, here.master, twin.master])
    const [s2, s1, m1, m2] = later(...rig.restore(ids)) as [number, number, number, number]
    expect([read(s1), read(s2)]).toEqual(['here', 'there\n'])
    expect(readTermios(s1).c_lflag & ICANON).toBe(0)
    expect(readTermios(s2).c_lflag & ICANON).toBe(ICANON)
    expect(readlinkSync(`/proc/self/fd/${s2}`).startsWith(folder)).toBe(true)
    for (const fd of [m1, m2, s1, s2]) closeSync(fd)
    closing.length = 0
  } finally {
    Bun.spawnSync(['umount', folder])
    rmdirSync(folder)
  }
  expect(readdirSync('/tmp').includes(folder.slice(5))).toBe(false)
})
