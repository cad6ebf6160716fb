// Open files on their way through a unix socket (SCM_RIGHTS), and the addresses of such sockets.
import { bytesOf } from '../base/bytes.ts'
import { BardoError } from '../base/errors.ts'
import { AF_UNIX, MSG_CMSG_CLOEXEC, SCM_RIGHTS, SOL_SOCKET } from './constants.ts'
import { refusal, scratch, sys } from './sys.ts'

/** struct cmsghdr, with descriptors behind it; what is received is padded to words (CMSG_SPACE). */
const CMSG_HEADER = 16
const [ONE_LEN, ONE_SPACE] = [20, 24]
const MSGHDR_SIZE = 56
const MSG_NOSIGNAL = 0x4000
const PATH_MAX = 107
const SO_PEERCRED = 17

/** struct sockaddr_un of a path. */
export function unixAddress(path: string): Uint8Array {
  const bytes = bytesOf(path)
  if (bytes.length > PATH_MAX) throw new BardoError('refused', `the path of a socket is too long: ${path}`)
  const address = new Uint8Array(2 + bytes.length + 1)
  address[0] = AF_UNIX
  address.set(bytes, 2)
  return address
}

/** A message of one byte, with `space` bytes of control part: the addresses of its header and of that. */
function message(space: number): { header: number; control: number } {
  const byte = scratch.take(8)
  const iov = scratch.take(16)
  const control = scratch.take(space)
  const header = scratch.take(MSGHDR_SIZE)
  const put = (at: number, value: number): void => scratch.view.setBigUint64(at - scratch.address, BigInt(value), true)
  put(iov, byte)
  put(iov + 8, 1)
  put(header + 16, iov)
  put(header + 24, 1)
  put(header + 32, control)
  put(header + 40, space)
  return { header, control }
}

/** Sends files, at most 253 (SCM_MAX_FD), with a message of one byte; what sendmsg(2) answers. */
export function sendFiles(socket: number, files: readonly number[], flags = 0): number {
  const mark = scratch.mark()
  try {
    const length = CMSG_HEADER + files.length * 4
    const { header, control } = message(length)
    const at = control - scratch.address
    scratch.view.setBigUint64(at, BigInt(length), true)
    scratch.view.setInt32(at + 8, SOL_SOCKET, true)
    scratch.view.setInt32(at + 12, SCM_RIGHTS, true)
    files.forEach((fd, index) => scratch.view.setInt32(at + CMSG_HEADER + 4 * index, fd, true))
    return sys('sendmsg', socket, header, flags)
  } finally {
    scratch.release(mark)
  }
}

/** Sends `fd`; false when nobody is there to get it. */
export const sendFile = (socket: number, fd: number): boolean => sendFiles(socket, [fd], MSG_NOSIGNAL) > 0

/** Whether files can be sent over `fd`. */
export function isConnectedUnixSocket(fd: number): boolean {
  const mark = scratch.mark()
  try {
    const at = scratch.take(16)
    const length = scratch.put(new Uint8Array(Uint32Array.of(16).buffer))
    return sys('getpeername', fd, at, length) >= 0 && scratch.view.getUint16(at - scratch.address, true) === AF_UNIX
  } finally {
    scratch.release(mark)
  }
}

/** Receives a descriptor. Throws `refused` where none comes. */
export function receiveFile(socket: number): number {
  const mark = scratch.mark()
  try {
    const { header, control } = message(ONE_SPACE)
    const result = sys('recvmsg', socket, header, MSG_CMSG_CLOEXEC)
    if (result < 0) throw refusal('recvmsg', result, socket)
    const at = control - scratch.address
    if (
      result === 0 ||
      scratch.view.getBigUint64(at, true) !== BigInt(ONE_LEN) ||
      scratch.view.getInt32(at + 12, true) !== SCM_RIGHTS
    )
      throw new BardoError('lost', 'who was to give us an open file has gone')
    return scratch.view.getInt32(at + 16, true)
  } finally {
    scratch.release(mark)
  }
}

/** The user that the other end belonged to when it connected; -1 where that is not told. */
export function peerUid(socket: number): number {
  const mark = scratch.mark()
  try {
    const at = scratch.take(16)
    const length = scratch.put(new Uint8Array(Uint32Array.of(12).buffer))
    // struct ucred: pid, uid, gid.
    return sys('getsockopt', socket, SOL_SOCKET, SO_PEERCRED, at, length) < 0
      ? -1
      : scratch.view.getUint32(at + 4 - scratch.address, true)
  } finally {
    scratch.release(mark)
  }
}
