// Unix sockets whose other end is in the same dump, closed, or none: pairs, streams, packets and datagrams, with what
// is in their queues. A socket of sockfs cannot be opened again: it has one description, and is found by its inode.
import { unix_sk_entry } from '../../image/messages/sockets.ts'
import { POLLPRI, SOCK_DGRAM, SOCK_STREAM, S_IFSOCK } from '../../linux/constants.ts'
import { listUnixSockets, type UnixSocket, type UnixSockets } from '../../linux/netlink/unix-diag.ts'
import { BardoError } from '../../base/errors.ts'
import { textOf } from '../../base/bytes.ts'
import { must, scratch } from '../../linux/sys.ts'
import type { Slot } from '../../program/program.ts'
import { fileKind, type Build, type FileView, type Limit } from '../kind.ts'
import { dumpOptions, socketFilter, socketOption } from './unix/options.ts'
import { queuedControl, savePackets } from './unix/packets.ts'
import { restoreConnected, TCP_ESTABLISHED, TCP_LISTEN } from './unix/pair.ts'

const POLLERR = 8
const SHUTDOWN_BOTH = 3
/** The number that our own network namespace has in the inventory: that of every task that is dumped. */
const OWN_NET_NS_ID = 2
const CLOSE = 'close it before the dump'

const otherNamespace: Limit = {
  id: 'unix-socket-other-namespace',
  says: 'a unix socket of another network namespace is not supported',
  hint: CLOSE,
}
const listening: Limit = {
  id: 'unix-socket-listening',
  says: 'a listening unix socket is not supported yet',
  hint: CLOSE,
}
const bound: Limit = {
  id: 'unix-socket-bound',
  says: 'a unix socket with a name is not supported yet',
  why: 'its name is that of a file, or of other sockets too',
  hint: CLOSE,
}
const peerOutside: Limit = {
  id: 'unix-socket-peer-outside',
  says: 'a unix socket that is connected to a process outside the tree is not supported',
  hint: 'dump the process with the other end too, or close the connection before the dump',
}
const oneWay: Limit = {
  id: 'unix-socket-one-way',
  says: 'a unix socket whose peer is connected to another, or to none, is not supported',
  hint: CLOSE,
}
const notAccepted: Limit = {
  id: 'unix-socket-not-accepted',
  says: 'a unix connection that has not been accepted yet is not supported',
  hint: 'let it be accepted before the dump',
}
const pendingError: Limit = {
  id: 'unix-socket-pending-error',
  says: 'a unix socket with an error that the program has not met yet (ECONNRESET) is not supported',
  why: 'its other end was closed with something unread, and reading the error would take it from the program',
  hint: CLOSE,
}
const urgentData: Limit = {
  id: 'unix-socket-urgent-data',
  says: 'urgent data (MSG_OOB) in a unix socket is not supported',
  hint: 'let the program receive it before the dump',
}
const outsideRestore: Limit = {
  id: 'unix-socket-external-restore',
  says: 'a unix socket that was left outside at the dump needs a descriptor',
}

/** A name as it is written: @ stands for the NUL of an abstract one. */
const nameText = (name: Uint8Array): string => textOf(name).replace(/\0$/, '').replaceAll('\0', '@')

/** What waits at a socket, without taking it: POLLERR for an error, POLLPRI for urgent data. */
function pollSocket(fd: number): number {
  const mark = scratch.mark()
  const at = scratch.take(8)
  scratch.view.setInt32(at - scratch.address, fd, true)
  scratch.view.setInt16(at - scratch.address + 4, POLLPRI, true)
  must('poll', at, 1, 0)
  const events = scratch.view.getInt16(at - scratch.address + 6, true)
  scratch.release(mark)
  return events
}

const isSame = (a: Uint8Array, b: Uint8Array): boolean => a.length === b.length && a.every((byte, at) => byte === b[at])

/** Whether another socket has this abstract name too: those that a listening one accepted have its name. */
function sharesName({ byInode }: UnixSockets, socket: UnixSocket): boolean {
  for (const other of byInode.values())
    if (other !== socket && other.type === socket.type && isSame(other.name, socket.name)) return true
  return false
}

/** The inode numbers of the unix sockets that the tree holds: all of them, once all files have been seen. */
const socketsOf = (view: FileView): Set<number> => view.once('unix sockets of the tree', () => new Set<number>())

/** Refuses a socket that could not be made again. */
function checkSocket(view: FileView, all: UnixSockets, socket: UnixSocket): void {
  const { state, name, peer, type, ino, shutdown } = socket
  if (state === TCP_LISTEN) view.refuse(listening, nameText(name))
  if (name.length > 0 && (name[0] !== 0 || sharesName(all, socket))) view.refuse(bound, nameText(name))
  const events = pollSocket(view.ours)
  if ((events & POLLERR) !== 0) view.refuse(pendingError)
  if (type === SOCK_STREAM && (events & POLLPRI) !== 0) view.refuse(urgentData)
  if (all.waiting.has(ino)) view.refuse(notAccepted)
  if (peer === undefined) return
  if (peer === 0) {
    // Closing one end shuts down the other, but of datagrams. Otherwise the peer is one that was not accepted yet.
    if (type !== SOCK_DGRAM && state === TCP_ESTABLISHED && shutdown !== SHUTDOWN_BOTH) view.refuse(notAccepted)
    return
  }
  const other = all.byInode.get(peer)
  view.atEnd(() => {
    if (socketsOf(view).has(peer)) return
    view.refuse(peerOutside, other === undefined || other.name.length === 0 ? `socket:[${peer}]` : nameText(other.name))
  })
  if (peer === ino || other?.peer !== ino) view.refuse(oneWay)
}

function restoreSocket(state: unix_sk_entry, at: Build): Slot<'fd'> {
  const given = at.inherited({ kind: 'socket', ino: state.ino })
  if (given !== undefined) return given
  const refused = ({ says, hint }: Limit, detail?: string): BardoError =>
    new BardoError('unsupported', `cannot restore the file: ${says}${detail === undefined ? '' : ` (${detail})`}`, {
      hint,
    })
  if (state.uflags !== 0)
    throw refused({ ...outsideRestore, hint: `give one for it: --inherit-fd 'fd[N]:socket:[${state.ino}]'` })
  if (state.state === TCP_LISTEN) throw refused(listening, nameText(state.name))
  if (state.name.length > 0 && state.name[0] !== 0) throw refused(bound, nameText(state.name))
  return restoreConnected(at, state)
}

export const unixSocket = fileKind({
  name: 'unix socket',
  type: 'UNIXSK',
  field: 'usk',
  image: unix_sk_entry,
  matches: { mode: [S_IFSOCK], link: 'socket:[' },
  limits: [
    otherNamespace,
    listening,
    bound,
    peerOutside,
    oneWay,
    notAccepted,
    pendingError,
    urgentData,
    outsideRestore,
    queuedControl,
    socketOption,
    socketFilter,
  ],
  // CRIU lets the socket of a pair that comes last in files.img make both. When that is not the one with the lower
  // descriptor, it takes the number of a dup of it for its own, and fails.
  writtenLast: true,
  dump(view) {
    const all = view.once('unix sockets of our network namespace', listUnixSockets)
    const socket = all.byInode.get(view.stat.ino)
    if (socket === undefined) return view.refuse(otherNamespace)
    socketsOf(view).add(socket.ino)
    checkSocket(view, all, socket)
    const opts = dumpOptions(view)
    savePackets(view, socket)
    const { ino, type, state, name, peer = 0, shutdown, wqueue } = socket
    return {
      ino,
      type,
      state,
      uflags: 0,
      backlog: wqueue,
      peer,
      opts,
      name,
      ns_id: OWN_NET_NS_ID,
      ...(shutdown === 0 ? {} : { shutdown }),
    }
  },
  restore: restoreSocket,
})
