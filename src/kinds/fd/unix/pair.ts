// The two ends of a unix connection, made again together: each needs the other to get back what was in its queue.
import { BardoError } from '../../../base/errors.ts'
import { sk_shutdown, type unix_sk_entry } from '../../../image/messages/sockets.ts'
import { AF_UNIX, SOCK_CLOEXEC, SOCK_DGRAM, SOCK_SEQPACKET, SOCK_STREAM, SOL_SOCKET } from '../../../linux/constants.ts'
import type { Slot } from '../../../program/program.ts'
import type { Build, Maker } from '../../kind.ts'
import { restoreOptions, SO_ERROR } from './options.ts'
import { hasPackets, sendPackets } from './packets.ts'

/** States of sockets, in the names of TCP, which unix sockets use too (net/tcp_states.h). */
export const [TCP_ESTABLISHED, TCP_CLOSE, TCP_LISTEN] = [1, 7, 10]
const TYPES: readonly number[] = [SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET]

/** The room for a name in struct sockaddr_un. */
const UNIX_PATH_MAX = 108

const badSocket = (ino: number, why: string): BardoError =>
  new BardoError('bad-image', `unix socket ${ino} of files.img ${why}`)

/** All unix sockets of the image by inode number, which is how they name each other. */
const sockets: Maker<0, Map<number, unix_sk_entry>> = {
  name: 'unix sockets',
  make(_, at) {
    const found = new Map<number, unix_sk_entry>()
    at.images.each('FILES', [], ({ entry: { usk } }) => {
      if (usk === undefined) return
      if (found.has(usk.ino)) throw badSocket(usk.ino, 'is there twice')
      found.set(usk.ino, usk)
    })
    return found
  },
}

/** Both ends by inode number; of a connection whose other end is closed, one. */
type Ends = ReadonlyMap<number, Slot<'fd'>>

function makePair(at: Build, type: number): [Slot<'fd'>, Slot<'fd'>] {
  const ends = at.memory(8)
  at.call('socketpair', AF_UNIX, type | SOCK_CLOEXEC, 0, ends)
  return [at.loadFile(ends, 0), at.loadFile(ends, 4)]
}

/** A struct sockaddr_un of an abstract name, or nothing. Before anything is sent: the name goes with each packet. */
function bindName(at: Build, socket: Slot<'fd'>, { name }: unix_sk_entry): void {
  if (name.length === 0) return
  const address = new Uint8Array(2 + name.length)
  address[0] = AF_UNIX
  address.set(name, 2)
  at.call('bind', socket, at.memory(address), address.length)
}

/** Says what follows the queue: buffers as they were, and no more sending or receiving where there was none. */
function finishEnd(at: Build, socket: Slot<'fd'>, { opts, shutdown = sk_shutdown.NONE }: unix_sk_entry): void {
  restoreOptions(at, socket, opts)
  // SHUT_RD, SHUT_WR and SHUT_RDWR are 0, 1 and 2.
  if (shutdown !== sk_shutdown.NONE) at.call('shutdown', socket, shutdown - 1)
}

/** By the lower of the two inode numbers. */
const connections: Maker<number, Ends> = {
  name: 'unix connection',
  make(ino, at) {
    const all = at.get(sockets, 0)
    const [one, other] = [all.get(ino)!, all.get(all.get(ino)!.peer)!]
    const [first, second] = makePair(at, one.type)
    bindName(at, first, one)
    bindName(at, second, other)
    // All is sent before either end is closed to it.
    sendPackets(at, one.id, one.type, second)
    sendPackets(at, other.id, one.type, first)
    finishEnd(at, first, one)
    finishEnd(at, second, other)
    return new Map([
      [one.ino, first],
      [other.ino, second],
    ])
  },
}

/** One end whose other end is closed: the runner closes it once it has sent what was in the queue. */
function restoreHungUp(at: Build, state: unix_sk_entry): Slot<'fd'> {
  const [socket, closed] = makePair(at, state.type)
  bindName(at, socket, state)
  sendPackets(at, state.id, state.type, closed)
  // Closing it has shut down a stream already.
  finishEnd(at, socket, state)
  return socket
}

/** A socket that is connected to nothing. What it received, it received from one that knows it. */
function restoreAlone(at: Build, state: unix_sk_entry): Slot<'fd'> {
  if (!hasPackets(at, state.id)) {
    const socket = at.open('socket', AF_UNIX, state.type | SOCK_CLOEXEC, 0)
    bindName(at, socket, state)
    finishEnd(at, socket, state)
    return socket
  }
  const [socket, sender] = makePair(at, state.type)
  bindName(at, socket, state)
  // AF_UNSPEC takes the peer away, which the sender is told by an error: reading that clears it.
  at.call('connect', socket, at.memory(2), 2)
  at.call('getsockopt', sender, SOL_SOCKET, SO_ERROR, at.memory(4), at.memory(Uint8Array.of(4, 0, 0, 0)))
  sendPackets(at, state.id, state.type, sender)
  finishEnd(at, socket, state)
  return socket
}

/** Says how an end of a connection is made again, with its other end where that is in the image. */
export function restoreConnected(at: Build, state: unix_sk_entry): Slot<'fd'> {
  const { ino, peer, type } = state
  if (!TYPES.includes(type)) throw badSocket(ino, `is of type ${type}`)
  if (state.name.length > UNIX_PATH_MAX) throw badSocket(ino, `has a name of ${state.name.length} bytes`)
  if (peer !== 0) {
    const other = at.get(sockets, 0).get(peer)
    if (other === undefined) throw badSocket(ino, `is connected to ${peer}, which files.img does not have`)
    if (other.peer !== ino || other.type !== type || peer === ino)
      throw new BardoError(
        'unsupported',
        'cannot restore the file: a unix socket that is connected one way is not supported',
      )
    return at.get(connections, Math.min(ino, peer)).get(ino)!
  }
  if (state.state === TCP_ESTABLISHED) return restoreHungUp(at, state)
  if (state.state !== TCP_CLOSE) throw badSocket(ino, `is in state ${state.state}`)
  if (type !== SOCK_DGRAM && hasPackets(at, state.id)) throw badSocket(ino, 'was never connected and has a queue')
  return restoreAlone(at, state)
}
