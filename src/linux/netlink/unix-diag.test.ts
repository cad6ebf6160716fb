// What sock_diag says of unix sockets: a message taken apart, and Linux asked about pairs of our own.
import { expect, test } from 'bun:test'
import { AF_UNIX, AT_EMPTY_PATH, SOCK_CLOEXEC, SOCK_DGRAM, SOCK_SEQPACKET, SOCK_STREAM } from '../constants.ts'
import { must, OpenFile, scratch, statOf } from '../sys.ts'
import { eachAttribute } from './netlink.ts'
import { listUnixSockets, parseUnixSocket } from './unix-diag.ts'

const attribute = (type: number, ...bytes: number[]): number[] => [
  4 + bytes.length,
  0,
  type,
  0,
  ...bytes,
  ...[0, 0, 0].slice(0, -bytes.length & 3),
]
const view = (...bytes: number[]): DataView => new DataView(Uint8Array.from(bytes).buffer)
const HEAD = [1, 5, 1, 0, 0x44, 0x33, 0x22, 0x11, 0, 0, 0, 0, 0, 0, 0, 0]

test('a message with all attributes, in any order', () => {
  const waiting = new Set<number>()
  const body = view(
    ...HEAD,
    ...attribute(6, 2),
    ...attribute(0, 0, 97, 98),
    ...attribute(2, 7, 0, 0, 0),
    ...attribute(99, 1, 2, 3),
    ...attribute(4, 9, 0, 0, 0, 0, 3, 0, 0),
    ...attribute(3, 5, 0, 0, 0, 6, 0, 0, 0),
  )
  expect(parseUnixSocket(body, waiting)).toEqual({
    ino: 0x11223344,
    type: SOCK_SEQPACKET,
    state: 1,
    name: Uint8Array.of(0, 97, 98),
    peer: 7,
    shutdown: 2,
    rqueue: 9,
    wqueue: 768,
  })
  expect([...waiting]).toEqual([5, 6])
})

test('a message without attributes, and attributes that lie about their length', () => {
  const bare = {
    ino: 0x11223344,
    type: 5,
    state: 1,
    name: new Uint8Array(0),
    peer: undefined,
    shutdown: 0,
    rqueue: 0,
    wqueue: 0,
  }
  expect(parseUnixSocket(view(...HEAD), new Set())).toEqual(bare)
  for (const lie of [
    [0, 0, 2, 0],
    [200, 0, 2, 0, 1, 2, 3, 4],
    [3, 0, 2, 0],
  ]) {
    const seen: number[] = []
    eachAttribute(view(...attribute(6, 1), ...lie), 0, type => seen.push(type))
    expect(seen).toEqual([6])
  }
})

test.each([SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET])('the ends of a pair of type %i name each other', type => {
  const mark = scratch.mark()
  const at = scratch.take(8)
  must('socketpair', AF_UNIX, type | SOCK_CLOEXEC, 0, at)
  using one = new OpenFile(scratch.view.getInt32(at - scratch.address, true))
  using other = new OpenFile(scratch.view.getInt32(at - scratch.address + 4, true))
  scratch.release(mark)
  must('sendto', one.fd, Uint8Array.of(1, 2, 3), 3)
  const inode = ({ fd }: OpenFile): number => {
    const stat = statOf(fd, '', AT_EMPTY_PATH)
    return typeof stat === 'number' ? stat : stat.ino
  }
  const { byInode } = listUnixSockets()
  const [here, there] = [byInode.get(inode(one))!, byInode.get(inode(other))!]
  expect(here).toMatchObject({ type, state: 1, peer: inode(other), shutdown: 0, rqueue: 0 })
  expect(there).toMatchObject({ type, state: 1, peer: inode(one), shutdown: 0, rqueue: 3, wqueue: 0 })
  expect(here.wqueue).toBeGreaterThan(3)
})
