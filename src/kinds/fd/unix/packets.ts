// What is in the queue of a unix socket: saved without being taken out, and sent again to a new one. Packets of
// datagram and packet sockets keep their borders; a stream is saved in pieces of any length.
import { BardoError } from '../../../base/errors.ts'
import { once } from '../../../base/run.ts'
import type { sk_packet_entry } from '../../../image/messages/sockets.ts'
import {
  EAGAIN,
  EINTR,
  O_CLOEXEC,
  PROT_READ,
  MAP_SHARED,
  SOCK_DGRAM,
  SOCK_STREAM,
  SOL_SOCKET,
} from '../../../linux/constants.ts'
import { Arena, syscall } from '../../../linux/ffi.ts'
import { NR } from '../../../linux/nr.ts'
import type { UnixSocket } from '../../../linux/netlink/unix-diag.ts'
import { must, OpenFile } from '../../../linux/sys.ts'
import type { Slot } from '../../../program/program.ts'
import type { Build, FileView, Limit, Maker } from '../../kind.ts'
import { SO_PEEK_OFF, SO_SNDBUFFORCE, wordBytes } from './options.ts'

const [MSG_PEEK, MSG_CTRUNC, MSG_TRUNC, MSG_DONTWAIT, MSG_NOSIGNAL] = [2, 8, 0x20, 0x40, 0x4000]
const RCV_SHUTDOWN = 1
const WINDOW_BYTES = 64 << 10
const HEADER_BYTES = 128
const NOT_PEEKING = -1

export const queuedControl: Limit = {
  id: 'unix-socket-control-messages',
  says: 'a unix socket with descriptors or credentials in its queue (SCM_RIGHTS, SCM_CREDENTIALS) is not supported',
  hint: 'let the program receive them before the dump',
}

// ---- saving

/** Memory for recvmsg: a struct msghdr, its one struct iovec, and behind them what is read. */
class Window {
  readonly arena = new Arena(HEADER_BYTES + WINDOW_BYTES)
  readonly data = this.arena.address + HEADER_BYTES

  constructor() {
    const { view, address } = this.arena
    view.setBigUint64(16, BigInt(address + 64), true)
    view.setBigUint64(24, 1n, true)
    view.setBigUint64(64, BigInt(this.data), true)
  }

  /**
   * Peeks at what comes next, at most `room` bytes. `flags` are those of msghdr, `length` is that of the whole packet
   * if `more` asks for it. A negative length is `-errno`.
   */
  peek(fd: number, room: number, more: number): { length: number; flags: number } {
    const { view, address } = this.arena
    view.setBigUint64(72, BigInt(room), true)
    // No room for control messages: the kernel then only tells that there are some, and installs no descriptor here.
    view.setBigUint64(40, 0n, true)
    for (;;) {
      const length = syscall(NR.recvmsg, fd, address, MSG_PEEK | MSG_DONTWAIT | more)
      if (length !== -EINTR) return { length, flags: view.getUint32(48, true) }
    }
  }

  bytes(length: number): Uint8Array {
    return this.arena.bytes.subarray(HEADER_BYTES, HEADER_BYTES + length)
  }

  write(to: number, length: number): void {
    for (let done = 0; done < length;) {
      const wrote = syscall(NR.write, to, this.data + done, length - done)
      if (wrote === -EINTR) continue
      if (wrote < 0) throw new BardoError('refused', 'cannot write sk-queues.img', { errno: wrote })
      done += wrote
    }
  }
}

const windows = once(() => new Window())

const peekFrom = (fd: number, offset: number): void =>
  void must('setsockopt', fd, SOL_SOCKET, SO_PEEK_OFF, wordBytes(offset), 4)

/**
 * Saves what is queued. The caller has made sure that no error of the connection waits, since reading takes it, and
 * that SO_PEEK_OFF is off (test/kernel/unix-peek.test.ts).
 */
export function savePackets(view: FileView, socket: UnixSocket): void {
  const { ours, id } = view
  if (socket.type === SOCK_STREAM && socket.rqueue === 0) return
  const window = windows()
  peekFrom(ours, 0)
  try {
    if (socket.type === SOCK_STREAM) saveStream(view, window, socket.rqueue)
    else while (savePacket(view, window, id, socket)) continue
  } finally {
    peekFrom(ours, NOT_PEEKING)
  }
}

function saveStream(view: FileView, from: Window, bytes: number): void {
  for (let left = bytes; left > 0;) {
    const { length, flags } = from.peek(view.ours, Math.min(left, WINDOW_BYTES), 0)
    if (length <= 0) throw unreadable(length)
    if ((flags & MSG_CTRUNC) !== 0) view.refuse(queuedControl)
    view.images.add('SK_QUEUES', [], { id_for: view.id, length, scm: [] }, from.bytes(length))
    left -= length
  }
}

/** Saves the next packet; false if there is none. */
function savePacket(view: FileView, from: Window, id: number, { type, shutdown }: UnixSocket): boolean {
  // With MSG_TRUNC the answer is the length of all of it, however much was read.
  const { length, flags } = from.peek(view.ours, WINDOW_BYTES, MSG_TRUNC)
  if (length === -EAGAIN) return false
  if (length < 0) throw unreadable(length)
  // A packet socket that will receive no more says 0 at its end, as it does for an empty packet.
  if (length === 0 && type !== SOCK_DGRAM && (shutdown & RCV_SHUTDOWN) !== 0) return false
  if ((flags & MSG_CTRUNC) !== 0) view.refuse(queuedControl)
  const entry = { id_for: id, length, scm: [] }
  if (length <= WINDOW_BYTES) {
    view.images.add('SK_QUEUES', [], entry, from.bytes(length))
    return true
  }
  view.images.add('SK_QUEUES', [], entry)
  using file = new OpenFile(view.images.openEnd('SK_QUEUES'))
  from.write(file.fd, WINDOW_BYTES)
  for (let left = length - WINDOW_BYTES; left > 0;) {
    // The next peek goes on inside the same packet.
    const piece = Math.min(left, WINDOW_BYTES)
    const { length: got } = from.peek(view.ours, piece, 0)
    if (got !== piece) throw unreadable(got)
    from.write(file.fd, piece)
    left -= piece
  }
  return true
}

const unreadable = (result: number): BardoError =>
  new BardoError('refused', 'cannot read what is in the queue of the socket', {
    errno: result < 0 ? result : undefined,
    why: result < 0 ? undefined : 'it holds less than the kernel says',
  })

// ---- sending again

type Packet = { readonly entry: sk_packet_entry; readonly payload: { readonly offset: number; readonly size: number } }

/** The packets of the images by the id of the file whose queue they were in, in their order. */
const packetsOf: Maker<0, Map<number, Packet[]>> = {
  name: 'queues of sockets',
  make(_, at) {
    const found = new Map<number, Packet[]>()
    if (!at.images.has('SK_QUEUES')) return found
    for (const packet of at.images.readEntries('SK_QUEUES')) {
      const known = found.get(packet.entry.id_for)
      if (known === undefined) found.set(packet.entry.id_for, [packet])
      else known.push(packet)
    }
    return found
  },
}

/** How many bytes of packets the program may hold by itself; what is beyond goes from file to file. */
const inProgram: Maker<0, { left: number }> = { name: 'packets in the program', make: () => ({ left: 4 << 20 }) }

const imageFile: Maker<0, Slot<'fd'>> = {
  name: 'sk-queues.img',
  make: (_, at) => at.open('openat', at.images.fd, 'sk-queues.img', O_CLOEXEC, 0),
}

/** What a queue surely takes with the buffers that a socket has by itself. */
const [SMALL_BYTES, SMALL_PACKETS] = [16 << 10, 8]
/** Doubled by the kernel, the largest int. */
const LARGEST_BUFFER = 0x3fff_ffff
const MFD_CLOEXEC = 1

export const hasPackets = (at: Build, id: number): boolean => at.get(packetsOf, 0).has(id)

/** Says that what was in the queue of file `id` is sent from its other end. The buffers are set by the caller then. */
export function sendPackets(at: Build, id: number, type: number, from: Slot<'fd'>): void {
  const packets = at.get(packetsOf, 0).get(id)
  if (packets === undefined) return
  if (packets.some(({ entry }) => entry.scm.length > 0))
    throw new BardoError('unsupported', `cannot restore the file: ${queuedControl.says}`, { hint: queuedControl.hint })
  const bytes = packets.reduce((sum, { payload }) => sum + payload.size, 0)
  if (bytes > SMALL_BYTES || packets.length > SMALL_PACKETS)
    at.call('setsockopt', from, SOL_SOCKET, SO_SNDBUFFORCE, at.memory(wordBytes(LARGEST_BUFFER)), 4)
  for (const { payload } of packets) {
    if (payload.size === 0 && type === SOCK_STREAM) continue
    sendPacket(at, payload, from)
  }
}

function sendPacket(at: Build, payload: Packet['payload'], to: Slot<'fd'>): void {
  const { offset, size } = payload
  const flags = MSG_DONTWAIT | MSG_NOSIGNAL
  const budget = at.get(inProgram, 0)
  if (size <= WINDOW_BYTES && size <= budget.left) {
    budget.left -= size
    at.call('sendto', to, at.memory(at.images.payload('sk-queues.img', payload)), size, flags, 0, 0)
    return
  }
  // One call must send a packet as a whole: so it is copied to memory that can be mapped from its beginning.
  const memory = at.open('memfd_create', 'packet', MFD_CLOEXEC)
  const begin = new Uint8Array(new BigInt64Array([BigInt(offset)]).buffer)
  at.call('sendfile', memory, at.get(imageFile, 0), at.memory(begin), size)
  const address = at.call('mmap', 0, size, PROT_READ, MAP_SHARED, memory, 0)
  at.call('sendto', to, address, size, flags, 0, 0)
  at.call('munmap', address, size)
}
