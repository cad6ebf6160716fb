// The unix sockets of our network namespace, as sock_diag lists them (man 7 sock_diag; linux/unix_diag.h).
import { BardoError } from '../../base/errors.ts'
import { AF_UNIX, ENOENT } from '../constants.ts'
import { eachAttribute, eachOfDump } from './netlink.ts'

const NETLINK_SOCK_DIAG = 4
const SOCK_DIAG_BY_FAMILY = 20
const ALL_STATES = 0xffff_ffff
const [UDIAG_SHOW_NAME, UDIAG_SHOW_PEER, UDIAG_SHOW_ICONS, UDIAG_SHOW_RQLEN] = [1, 4, 8, 16]
const [UNIX_DIAG_NAME, UNIX_DIAG_PEER, UNIX_DIAG_ICONS, UNIX_DIAG_RQLEN, UNIX_DIAG_SHUTDOWN] = [0, 2, 3, 4, 6]
const REQUEST_BYTES = 24
const MESSAGE_BYTES = 16

/** A unix socket by its inode number (st_ino). */
export type UnixSocket = {
  readonly ino: number
  /** SOCK_…. */
  readonly type: number
  /** TCP_…, which unix sockets use too: 1 established, 7 closed (not connected), 10 listening. */
  readonly state: number
  /** The address without its family: a path, or a NUL and an abstract name; empty for none. */
  readonly name: Uint8Array
  /** The inode number of what it is connected to; 0 for one that is gone or not accepted yet, undefined for none. */
  readonly peer: number | undefined
  /** 1: does not receive any more, 2: does not send any more. */
  readonly shutdown: number
  /** Bytes to be read (of datagrams, those of the first one); of a listening one, connections to be accepted. */
  readonly rqueue: number
  /** Memory of what was sent and not read yet; of a listening one, its backlog. */
  readonly wqueue: number
}

export type UnixSockets = {
  readonly byInode: ReadonlyMap<number, UnixSocket>
  /** Inode numbers of sockets whose connection nobody has accepted yet. */
  readonly waiting: ReadonlySet<number>
}

/** Lists them all: one question costs less than one for each of a few. Throws `refused`. */
export function listUnixSockets(): UnixSockets {
  const request = new Uint8Array(REQUEST_BYTES)
  const view = new DataView(request.buffer)
  view.setUint8(0, AF_UNIX)
  view.setUint32(4, ALL_STATES, true)
  view.setUint32(12, UDIAG_SHOW_NAME | UDIAG_SHOW_PEER | UDIAG_SHOW_ICONS | UDIAG_SHOW_RQLEN, true)
  const byInode = new Map<number, UnixSocket>()
  const waiting = new Set<number>()
  const visit = (body: DataView): void => {
    const socket = parseUnixSocket(body, waiting)
    byInode.set(socket.ino, socket)
  }
  try {
    eachOfDump(NETLINK_SOCK_DIAG, SOCK_DIAG_BY_FAMILY, request, 'the unix sockets (sock_diag)', visit)
  } catch (error) {
    if (!(error instanceof BardoError) || error.errno !== ENOENT) throw error
    throw new BardoError('refused', error.what, {
      errno: error.errno,
      hint: 'load the module unix_diag (CONFIG_UNIX_DIAG)',
    })
  }
  return { byInode, waiting }
}

/** Reads struct unix_diag_msg and the attributes behind it; what waits at a listening socket is added to `waiting`. */
export function parseUnixSocket(body: DataView, waiting: Set<number>): UnixSocket {
  let name = new Uint8Array(0)
  let peer: number | undefined
  let [shutdown, rqueue, wqueue] = [0, 0, 0]
  eachAttribute(body, MESSAGE_BYTES, (type, value) => {
    if (type === UNIX_DIAG_NAME) name = new Uint8Array(value.buffer, value.byteOffset, value.byteLength).slice()
    else if (type === UNIX_DIAG_PEER) peer = value.getUint32(0, true)
    else if (type === UNIX_DIAG_SHUTDOWN) shutdown = value.getUint8(0)
    else if (type === UNIX_DIAG_RQLEN) [rqueue, wqueue] = [value.getUint32(0, true), value.getUint32(4, true)]
    else if (type === UNIX_DIAG_ICONS)
      for (let at = 0; at + 4 <= value.byteLength; at += 4) waiting.add(value.getUint32(at, true))
  })
  const [type, state, ino] = [body.getUint8(1), body.getUint8(2), body.getUint32(4, true)]
  return { ino, type, state, name, peer, shutdown, rqueue, wqueue }
}
