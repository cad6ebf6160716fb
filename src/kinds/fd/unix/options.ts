// Options of a socket (man 7 socket) as CRIU's images have them: read from a descriptor, and set on a new socket.
import { bytesOf, textOf } from '../../../base/bytes.ts'
import { BardoError } from '../../../base/errors.ts'
import type { sk_opts_entry } from '../../../image/messages/sockets.ts'
import { EACCES, EOPNOTSUPP, EPERM, SOL_SOCKET } from '../../../linux/constants.ts'
import { refusal, scratch, sys } from '../../../linux/sys.ts'
import type { Slot } from '../../../program/program.ts'
import type { Build, FileView, Limit } from '../../kind.ts'

// asm-generic/socket.h
export const [SO_ERROR, SO_SNDBUFFORCE, SO_PEEK_OFF] = [4, 32, 42]
const [SO_REUSEADDR, SO_DONTROUTE, SO_BROADCAST, SO_SNDBUF, SO_RCVBUF] = [2, 5, 6, 7, 8]
const [SO_KEEPALIVE, SO_OOBINLINE, SO_NO_CHECK, SO_PRIORITY, SO_LINGER] = [9, 10, 11, 12, 13]
const [SO_REUSEPORT, SO_PASSCRED, SO_RCVLOWAT, SO_RCVTIMEO, SO_SNDTIMEO] = [15, 16, 18, 20, 21]
const [SO_BINDTODEVICE, SO_GET_FILTER, SO_TIMESTAMP, SO_RCVBUFFORCE] = [25, 26, 29, 33]
const [SO_PASSSEC, SO_TIMESTAMPNS, SO_MARK, SO_TIMESTAMPING] = [34, 35, 36, 37]
const [SO_BUF_LOCK, SO_PASSPIDFD, SO_PASSRIGHTS] = [72, 76, 83]
const ENOPROTOOPT = 92
const IFNAMSIZ = 16

export const socketOption: Limit = {
  id: 'socket-option',
  says: 'a socket with an option that images have no place for is not supported',
  hint: 'let the program set the option back before the dump',
}

export const socketFilter: Limit = {
  id: 'socket-filter',
  says: 'a socket with a packet filter (SO_ATTACH_FILTER, SO_ATTACH_BPF) is not supported',
  hint: 'let the program take the filter off (SO_DETACH_FILTER) before the dump',
}

/** Options that images have no place for, with the value that a socket has by itself. */
const UNTOLD: readonly (readonly [name: string, option: number, usual: number])[] = [
  ['SO_PEEK_OFF', SO_PEEK_OFF, -1],
  ['SO_TIMESTAMP', SO_TIMESTAMP, 0],
  ['SO_TIMESTAMPNS', SO_TIMESTAMPNS, 0],
  ['SO_TIMESTAMPING', SO_TIMESTAMPING, 0],
  ['SO_PASSPIDFD', SO_PASSPIDFD, 0],
  ['SO_PASSRIGHTS', SO_PASSRIGHTS, 1],
]

/** Options that are on or off, and off on a new socket, by their fields. */
const SWITCHES = {
  reuseaddr: SO_REUSEADDR,
  so_reuseport: SO_REUSEPORT,
  so_passcred: SO_PASSCRED,
  so_passsec: SO_PASSSEC,
  so_dontroute: SO_DONTROUTE,
  so_no_check: SO_NO_CHECK,
  so_broadcast: SO_BROADCAST,
  so_keepalive: SO_KEEPALIVE,
} as const
type Switch = keyof typeof SWITCHES

/** The bytes of an option of at most `room`; undefined where the kernel does not know it. */
function readOption(fd: number, option: number, room: number): DataView | undefined {
  const mark = scratch.mark()
  try {
    const at = scratch.take(room)
    const length = scratch.take(8)
    scratch.view.setUint32(length - scratch.address, room, true)
    const result = sys('getsockopt', fd, SOL_SOCKET, option, at, length)
    if (result === -ENOPROTOOPT || result === -EOPNOTSUPP) return undefined
    if (result < 0) throw refusal('getsockopt', result, fd, SOL_SOCKET, option)
    return new DataView(scratch.at(at, scratch.view.getUint32(length - scratch.address, true)).slice().buffer)
  } finally {
    scratch.release(mark)
  }
}

const readWord = (fd: number, option: number, unknown = 0): number =>
  readOption(fd, option, 4)?.getInt32(0, true) ?? unknown

function hasFilter(fd: number): boolean {
  const mark = scratch.mark()
  // Without room it tells how many instructions the filter has. EACCES: it is no classic one (SO_ATTACH_BPF).
  const length = scratch.take(8)
  const result = sys('getsockopt', fd, SOL_SOCKET, SO_GET_FILTER, 0, length)
  const count = scratch.view.getUint32(length - scratch.address, true)
  scratch.release(mark)
  if (result < 0 && result !== -EACCES) throw refusal('getsockopt', result, fd, SOL_SOCKET, SO_GET_FILTER)
  return result < 0 || count > 0
}

/** Reads the options of a socket; refuses what an image cannot tell. */
export function dumpOptions(view: FileView): sk_opts_entry {
  const fd = view.ours
  for (const [name, option, usual] of UNTOLD) if (readWord(fd, option, usual) !== usual) view.refuse(socketOption, name)
  if (hasFilter(fd)) view.refuse(socketFilter)
  const time = (option: number, offset: number): bigint => readOption(fd, option, 16)!.getBigUint64(offset, true)
  const switches = Object.entries(SWITCHES).map(([field, option]) => [field, readWord(fd, option) !== 0])
  const mark = readWord(fd, SO_MARK)
  const linger = readOption(fd, SO_LINGER, 8)!
  const locks = readOption(fd, SO_BUF_LOCK, 4)
  const device = readOption(fd, SO_BINDTODEVICE, IFNAMSIZ)
  return {
    so_sndbuf: readWord(fd, SO_SNDBUF),
    so_rcvbuf: readWord(fd, SO_RCVBUF),
    so_snd_tmo_sec: time(SO_SNDTIMEO, 0),
    so_snd_tmo_usec: time(SO_SNDTIMEO, 8),
    so_rcv_tmo_sec: time(SO_RCVTIMEO, 0),
    so_rcv_tmo_usec: time(SO_RCVTIMEO, 8),
    so_priority: readWord(fd, SO_PRIORITY),
    so_rcvlowat: readWord(fd, SO_RCVLOWAT),
    so_oobinline: readWord(fd, SO_OOBINLINE),
    so_filter: [],
    ...(Object.fromEntries(switches) as Record<Switch, boolean>),
    ...(mark === 0 ? {} : { so_mark: mark >>> 0 }),
    ...(linger.getInt32(0, true) === 0 ? {} : { so_linger: linger.getUint32(4, true) }),
    ...(locks === undefined ? {} : { so_buf_lock: locks.getUint32(0, true) }),
    ...(device === undefined || device.byteLength === 0 ? {} : { so_bound_dev: deviceName(device) }),
  }
}

const deviceName = (name: DataView): string => textOf(new Uint8Array(name.buffer)).replace(/\0.*$/s, '')

/** A word for setsockopt. */
export const wordBytes = (value: number): Uint8Array => new Uint8Array(new Uint32Array([value]).buffer)

/** Says that a new socket gets its options. What it has by itself is not set again. */
export function restoreOptions(at: Build, socket: Slot<'fd'>, opts: sk_opts_entry): void {
  if (opts.so_filter.length > 0)
    throw new BardoError('unsupported', `cannot restore the file: ${socketFilter.says}`, { hint: 'dump without it' })
  const set = (option: number, value: Uint8Array): void =>
    void at.call('setsockopt', socket, SOL_SOCKET, option, at.memory(value), value.length)
  const setTime = (option: number, sec: bigint, usec: bigint): void => {
    if (sec !== 0n || usec !== 0n) set(option, new Uint8Array(new BigUint64Array([sec, usec]).buffer))
  }
  // The kernel doubles what it is given. Beyond the limits of net.core it takes a privilege: where that is missing, as
  // much as the limits allow must do.
  for (const [plain, forced, bytes] of [
    [SO_SNDBUF, SO_SNDBUFFORCE, opts.so_sndbuf],
    [SO_RCVBUF, SO_RCVBUFFORCE, opts.so_rcvbuf],
  ] as const) {
    const half = wordBytes(Math.floor(bytes / 2))
    set(plain, half)
    at.attempt([EPERM], 'setsockopt', socket, SOL_SOCKET, forced, at.memory(half), 4)
  }
  if (opts.so_buf_lock !== undefined) set(SO_BUF_LOCK, wordBytes(opts.so_buf_lock))
  for (const [field, option] of Object.entries(SWITCHES)) if (opts[field as Switch] === true) set(option, wordBytes(1))
  if (opts.so_priority !== undefined && opts.so_priority !== 0) set(SO_PRIORITY, wordBytes(opts.so_priority))
  if (opts.so_rcvlowat !== undefined && opts.so_rcvlowat !== 1) set(SO_RCVLOWAT, wordBytes(opts.so_rcvlowat))
  if (opts.so_oobinline !== undefined && opts.so_oobinline !== 0) set(SO_OOBINLINE, wordBytes(1))
  if (opts.so_mark !== undefined && opts.so_mark !== 0) set(SO_MARK, wordBytes(opts.so_mark))
  if (opts.so_linger !== undefined) set(SO_LINGER, new Uint8Array(new Uint32Array([1, opts.so_linger]).buffer))
  setTime(SO_SNDTIMEO, opts.so_snd_tmo_sec, opts.so_snd_tmo_usec)
  setTime(SO_RCVTIMEO, opts.so_rcv_tmo_sec, opts.so_rcv_tmo_usec)
  if (opts.so_bound_dev) set(SO_BINDTODEVICE, bytesOf(opts.so_bound_dev).subarray(0, IFNAMSIZ))
}
