// What is on its way in a pair, through a dump and a restore of our own descriptors: Linux says whether it is what it was.
import { afterEach, expect, test } from 'bun:test'
import { closeSync } from 'node:fs'
import {
  O_NONBLOCK,
  POLLIN,
  POLLOUT,
  POLLPRI,
  TCFLSH,
  TCOOFF,
  TCSETS2,
  TCXONC,
  TIOCPKT,
} from '../../linux/constants.ts'
import { must, sys } from '../../linux/sys.ts'
import { pollFile, readSettings, readTermios } from './device.ts'
import { atOnce } from './hands.ts'
import { QUEUE_MAX, splitInput } from './queue.ts'
import { int, refill } from './refill.ts'
import { newPair, read, Rig, write } from '../../../test/rigs/tty.ts'
import { IXON, termiosBytes, VSTART, VSTOP, type Termios } from './termios.ts'

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
const plain = { c_iflag: 0, c_oflag: 0, c_lflag: 0 }

/** Dumps a pair and restores it. */
function through(master: number, slave: number): [number, number] {
  using rig = new Rig()
  const ids = rig.dump([master, slave])
  return later(...rig.restore(ids)) as [number, number]
}

test('lines, a partly typed line and ends of file wait as they did, and nothing is done twice', () => {
  const { master, slave } = newPair()
  write(master, 'one\ntwo\x04\x04a\x16\x03b\x16\nq\npart')
  pollFile(slave, POLLIN, 1000)
  write(slave, 'out\n')
  const [m, s] = through(master, slave)
  // Each read gives one line; two ends of file, the second alone.
  expect([1, 2, 3, 4, 5].map(() => read(s))).toEqual(['one\n', 'two', '', 'a\x03b\nq\n', -11])
  expect(read(m)).toBe('one\r\ntwoa^\b^Cb^\b^Jq\r\npartout\r\n')
  // The line can still be edited.
  write(m, 'ly\x7f\x7f\x7fk\n')
  pollFile(s, POLLIN, 1000)
  expect(read(s)).toBe('park\n')
})

test('a line that ends at a character of its own, and one that is hidden in quotes', () => {
  const { master, slave } = newPair()
  const c_cc = readTermios(slave).c_cc.slice()
  c_cc[11] = 0x13
  c_cc[VSTOP] = 0
  c_cc[16] = 0x11
  c_cc[VSTART] = 0
  set(slave, { c_cc })
  write(master, 'abc\x13de\x16\x13f\x11\x16\x04\x16\x16g')
  pollFile(slave, POLLIN, 1000)
  const [m, s] = through(master, slave)
  expect([1, 2, 3].map(() => read(s))).toEqual(['abc\x13', 'de\x13f\x11', -11])
  write(m, '\n')
  pollFile(s, POLLIN, 1000)
  expect(read(s)).toBe('\x04\x16g\n')
})

test.each([64, 257, 1000, 1792, 4096])('all that both directions hold comes back, written %i bytes at a time', size => {
  const { master, slave } = newPair()
  set(slave, plain)
  must('fcntl', master, 4, O_NONBLOCK)
  const bytes = Uint8Array.from({ length: 60_000 }, (_, i) => (i * i * 31 + i * 7) >> 3)
  const fill = (fd: number): number => {
    let done = 0
    for (let n; (n = write(fd, bytes.subarray(done, done + size))) > 0;) done += n
    return done
  }
  const [typed, printed] = [fill(master), fill(slave)]
  expect(Math.min(typed, printed)).toBeGreaterThan(10_000)
  const [m, s] = through(master, slave)
  const all = (fd: number): string => {
    let text = ''
    for (let got; typeof (got = read(fd)) === 'string';) text += got
    return text
  }
  const text = (length: number): string => Buffer.from(bytes.subarray(0, length)).toString('latin1')
  expect(all(s) === text(typed)).toBe(true)
  expect(all(m) === text(printed)).toBe(true)
})

const lineOf = (length: number, last = '\n'): string =>
  Array.from({ length }, (_, i) => 'abcdefghijklm'[(i * i) % 13]).join('') + last

// Lines as long as they come, and at the end one that is still being typed. With echo, the other direction fills too.
const canonical = [
  { name: 'short lines', text: lineOf(79), end: '\n' },
  { name: 'empty lines', text: '\n', end: '\n' },
  { name: 'long lines', text: lineOf(1500), end: '\n' },
  { name: 'lines that a return ends', text: lineOf(200, '\r'), end: '\r' },
  { name: 'lines that end of file ends', text: lineOf(300, '\x04'), end: '\x04' },
]
for (const { name, text, end } of canonical)
  test.each([0o105073, 0o105063])(`canonical mode, filled with ${name} (c_lflag %i)`, c_lflag => {
    const { master, slave } = newPair()
    set(slave, { c_lflag })
    must('fcntl', master, 4, O_NONBLOCK)
    let typed = 0
    for (let n; (n = write(master, text.slice(typed % text.length))) > 0; typed += n) pollFile(slave)
    expect(typed).toBeGreaterThan(10_000)
    const [m, s] = through(master, slave)
    const all = text.repeat(Math.ceil(typed / text.length)).slice(0, typed)
    const lines = all.split(end)
    const partly = lines.pop()!
    const given = end === '\x04' ? '' : '\n'
    const read = readLines(s)
    for (const [i, line] of read.entries()) expect([i, line]).toEqual([i, `${lines[i]}${given}`])
    expect(read.length).toBe(lines.length)
    for (let got; typeof (got = readOnce(m)) === 'string' && got !== '';);
    write(m, 'and ended\n')
    expect(readLines(s)).toEqual([`${partly}and ended\n`])
  })

const readOnce = (fd: number): string | number => ((pollFile(fd) & POLLIN) === 0 ? -11 : read(fd))

/** Lines, as long as more of them come; the kernel goes on with its work in between. */
function readLines(slave: number): string[] {
  const lines: string[] = []
  while ((pollFile(slave, POLLIN, 100) & POLLIN) !== 0) lines.push(String(read(slave)))
  return lines
}

test('a line that is longer than the buffer is cut off where it was', () => {
  const twins = [newPair(), newPair()].map(({ master, slave }) => {
    write(master, lineOf(9000, ''))
    // Each look moves more of it into the line discipline, where what is too much is dropped.
    for (let look = 0; look < 20; look++) pollFile(slave, POLLIN, 5)
    return [master, slave] as [number, number]
  }) as [[number, number], [number, number]]
  const restored = through(...twins[0])
  later(...twins[1])
  const [line, same] = [restored, twins[1]].map(([master, slave]) => {
    write(master, '\n')
    pollFile(slave, POLLIN, 1000)
    return read(slave)
  })
  expect(String(same).length).toBeGreaterThan(4000)
  expect(line === same).toBe(true)
})

test('a new pair takes as much as an image may say', () => {
  const { master, slave } = newPair()
  later(master, slave)
  set(slave, plain)
  must('fcntl', master, 4, O_NONBLOCK)
  const bytes = new Uint8Array(QUEUE_MAX).fill(0x41)
  refill(atOnce, master, slave, readTermios(slave), {
    input: splitInput([], bytes, 0),
    output: bytes,
    status: 0,
    stopped: false,
    packet: false,
  })
  for (const fd of [master, slave]) {
    let length = 0
    for (let got; typeof (got = read(fd)) === 'string';) length += got.length
    expect(length).toBe(QUEUE_MAX)
  }
})

/** Numbers that look random and are the same each time. */
function* random(seed: number): Generator<number, never> {
  for (let x = seed * 2654435761; ;) {
    x = (Math.imul(x ^ (x >>> 15), 0x2c1b3c6d) + 0x9e3779b9) >>> 0
    yield x
  }
}

type Seen = { readonly seed: number; readonly change: object; readonly seen: string }

/** What one reads of a pair that went through an image, and of its twin, to which the same was done. */
function twinsOf(seed: number): [Seen, Seen] {
  const numbers = random(seed)
  const pick = (below: number): number => numbers.next().value % below
  const twins = [newPair(), newPair()]
  const change = {
    c_lflag: [0o105073, 0o105063, 0o2, 0, 0o10, 0o101][pick(6)]!,
    c_iflag: [0o2400, 0o6000, 0, 0o40, 0o110][pick(5)]!,
    c_oflag: [5, 0, 1][pick(3)]!,
  }
  const packet = pick(4) === 0
  for (const { master, slave } of twins) {
    set(slave, change)
    if (packet) must('ioctl', master, TIOCPKT, int(1))
  }
  const acts = Array.from({ length: 1 + pick(12) }, () => {
    const typed = pick(3) > 0
    // All but ^S, ^Q, ^C, ^\\ and ^Z, which do more than to be typed.
    const alphabet = 'ab\n\r\x04\x7f\x16\x15\x17 \t\xff\0xyz'
    return { typed, text: Array.from({ length: pick(40) }, () => alphabet[pick(alphabet.length)]).join('') }
  })
  const act = (fds: { master: number; slave: number }): void => {
    for (const { typed, text } of acts) {
      write(typed ? fds.master : fds.slave, text)
      // Echoes and output come in one order only if the first are there before the second is written.
      settle(fds.slave, fds.master)
    }
  }
  for (const twin of twins) act(twin)
  using rig = new Rig()
  const ids = rig.dump([twins[0]!.master, twins[0]!.slave])
  const [master, slave] = rig.restore(ids) as [number, number]
  const seen = (fds: { master: number; slave: number }): unknown[] => {
    const all: unknown[] = []
    for (let round = 0; round < 2; round++) {
      for (let got; typeof (got = read(fds.slave)) === 'string';) all.push(got)
      all.push(heard(fds.master, packet))
      write(fds.master, 'and\n')
      settle(fds.slave, fds.master)
    }
    return all
  }
  const [restored, twin] = [{ master, slave }, twins[1]!].map(seen)
  for (const fd of [master, slave, twins[1]!.master, twins[1]!.slave]) closeSync(fd)
  return [restored!, twin!].map(one => ({ seed, change, seen: joinedReads(one) })) as [Seen, Seen]
}

test('whatever is typed and printed, a pair that was restored goes on as its twin that was not', () => {
  for (let seed = 1; seed <= 80; seed++) {
    // When the kernel moves what was written decides where an echo stands among output. That no call tells: so what differs
    // each time is a fault, and what differs once is the pace of the machine.
    let [restored, twin] = twinsOf(seed)
    for (let again = 0; again < 4 && restored.seen !== twin.seen; again++) [restored, twin] = twinsOf(seed)
    expect(restored).toEqual(twin)
  }
}, 60_000)

/** All that a master can read. How much one read gives is a matter of moments; a status of packet mode has its own. */
function heard(master: number, packet: boolean): string {
  let text = ''
  while ((pollFile(master) & POLLIN) !== 0) {
    const got = read(master, 100_000)
    if (typeof got !== 'string') return `${text}(${got})`
    text += packet && got[0] === '\0' ? got.slice(1) : packet ? `(status ${got.charCodeAt(0)})` : got
  }
  return text
}

/** Waits until both ends have what was written to them. */
function settle(...fds: number[]): void {
  for (const fd of fds) pollFile(fd)
  Bun.sleepSync(1)
}

const joinedReads = (reads: unknown[]): string => reads.map(String).join('|')

test('what a dump reads is there again afterwards', () => {
  const { master, slave } = newPair()
  later(master, slave)
  write(master, 'whole\npart')
  pollFile(slave, POLLIN, 1000)
  using rig = new Rig()
  const before = readSettings(slave)
  rig.dump([slave, master], {}, false)
  expect(readSettings(slave)).toEqual(before)
  expect([read(slave), read(slave)]).toEqual(['whole\n', -11])
  write(master, 's\n')
  pollFile(slave, POLLIN, 1000)
  expect([read(slave), read(master)]).toEqual(['parts\n', 'whole\r\nparts\r\n'])
})

test('output that was stopped stays stopped until it is started', () => {
  const { master, slave } = newPair()
  write(master, '\x13')
  while (pollFile(slave, POLLOUT) !== 0) Bun.sleepSync(1)
  const [m, s] = through(master, slave)
  Bun.sleepSync(20)
  expect(write(s, 'x')).toBe(-11)
  write(m, '\x11')
  expect(pollFile(s, POLLOUT, 1000)).toBe(POLLOUT)
})

test('output that a program stopped is not started by a key', () => {
  const { master, slave } = newPair()
  set(slave, { c_iflag: readTermios(slave).c_iflag & ~IXON })
  must('ioctl', slave, TCXONC, TCOOFF)
  const [, s] = through(master, slave)
  expect(write(s, 'x')).toBe(-11)
  must('ioctl', s, TCXONC, 1)
  expect(write(s, 'x')).toBe(1)
})

test('what a master in packet mode is still to be told', () => {
  const { master, slave } = newPair()
  must('ioctl', master, TIOCPKT, int(1))
  set(slave, { c_iflag: readTermios(slave).c_iflag & ~IXON })
  must('ioctl', slave, TCFLSH, 2)
  write(slave, 'data')
  const [m, s] = through(master, slave)
  expect(pollFile(m, POLLIN | POLLPRI)).toBe(POLLIN | POLLPRI)
  // FLUSHREAD, FLUSHWRITE and NOSTOP; then data.
  expect([read(m), read(m)]).toEqual(['\x13', '\0data'])
  set(s, { c_iflag: readTermios(s).c_iflag | IXON })
  expect(read(m)).toBe(String.fromCharCode(32))
})
