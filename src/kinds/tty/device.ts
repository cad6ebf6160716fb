// What a terminal tells about itself through an open file of it, in plain system calls.
import { EIO, ENOTTY, POLLIN, TCGETS2, TIOCGLCKTRMIOS, TIOCGWINSZ } from '../../linux/constants.ts'
import { major, minor, refusal, scratch, sys } from '../../linux/sys.ts'
import type { winsize_entry } from '../../image/messages/tty.ts'
import { termiosFrom, TERMIOS2_SIZE, TERMIOS_SIZE, winsizeFrom, WINSIZE_SIZE, type Termios } from './termios.ts'

/** `ioctl(fd, request, buffer of length bytes)`: what the kernel wrote, or `-errno`. */
export function ask(fd: number, request: number, length: number): Uint8Array | number {
  const mark = scratch.mark()
  try {
    const at = scratch.take(length)
    const result = sys('ioctl', fd, request, at)
    return result < 0 ? result : scratch.at(at, length).slice()
  } finally {
    scratch.release(mark)
  }
}

/** An int that a terminal tells; `otherwise` where the question makes no sense to it (ENOTTY). */
export function askNumber(fd: number, request: number, otherwise: number): number {
  const answer = ask(fd, request, 4)
  if (typeof answer !== 'number') return new DataView(answer.buffer).getUint32(0, true)
  if (answer === -ENOTTY) return otherwise
  throw refusal('ioctl', answer, fd, request)
}

function mustAsk(fd: number, request: number, length: number): Uint8Array {
  const answer = ask(fd, request, length)
  if (typeof answer === 'number') throw refusal('ioctl', answer, fd, request)
  return answer
}

export const readTermios = (fd: number): Termios => termiosFrom(mustAsk(fd, TCGETS2, TERMIOS2_SIZE))

/** Bits that are set may not be changed in the termios but by who has CAP_SYS_ADMIN. */
export const readLockedTermios = (fd: number): Termios => termiosFrom(mustAsk(fd, TIOCGLCKTRMIOS, TERMIOS_SIZE))

export const readWinsize = (fd: number): winsize_entry => winsizeFrom(mustAsk(fd, TIOCGWINSZ, WINSIZE_SIZE))

/** The settings that any descriptor of the terminal tells; of a master, those of the other end. */
export type Settings = { readonly termios: Termios; readonly locked: Termios; readonly winsize: winsize_entry }

/** Undefined for a terminal that was hung up: it answers EIO to everything, for ever. */
export function readSettings(fd: number): Settings | undefined {
  if (isHungUp(fd)) return undefined
  return { termios: readTermios(fd), locked: readLockedTermios(fd), winsize: readWinsize(fd) }
}

export const isHungUp = (fd: number): boolean => ask(fd, TCGETS2, TERMIOS2_SIZE) === -EIO

export const isTerminal = (fd: number): boolean => typeof ask(fd, TCGETS2, TERMIOS2_SIZE) !== 'number'

/**
 * The events of `fd`, waiting at most `timeout_ms`. A terminal that seems to have no input moves what was written to it
 * into the line discipline before it answers (tty_buffer_flush_work in n_tty_poll).
 */
export function pollFile(fd: number, events = POLLIN, timeout_ms = 0): number {
  const mark = scratch.mark()
  try {
    const at = scratch.take(24)
    const { view } = scratch
    const offset = at - scratch.address
    view.setInt32(offset, fd, true)
    view.setInt16(offset + 4, events, true)
    view.setBigInt64(offset + 8, BigInt(Math.floor(timeout_ms / 1000)), true)
    view.setBigInt64(offset + 16, BigInt((timeout_ms % 1000) * 1_000_000), true)
    const result = sys('ppoll', at, 1, at + 8, 0, 0)
    if (result < 0) throw refusal('ppoll', result, fd)
    return view.getUint16(offset + 6, true)
  } finally {
    scratch.release(mark)
  }
}

/** What is read from `fd`, at most `length` bytes, or `-errno`. */
export function readSome(fd: number, length: number): Uint8Array | number {
  const mark = scratch.mark()
  try {
    const at = scratch.take(length)
    const result = sys('read', fd, at, length)
    return result < 0 ? result : scratch.at(at, result).slice()
  } finally {
    scratch.release(mark)
  }
}

const [TTY_MAJOR, TTYAUX_MAJOR, PTS_FIRST, PTS_LAST] = [4, 5, 136, 143]
const VT_LAST = 63
const PTS_PER_MAJOR = 256

/** What a device number says of a terminal: `index` is a pts's number. */
export type Device =
  | { readonly is: 'slave'; readonly index: number }
  | { readonly is: 'master' | 'ctty' | 'console' | 'vt' | 'serial' }

export function deviceOf(rdev: number): Device | undefined {
  const [first, second] = [major(rdev), minor(rdev)]
  // A pts beyond the 256th has a higher minor, or on kernels before 2.6 the next major.
  if (first >= PTS_FIRST && first <= PTS_LAST)
    return { is: 'slave', index: (first - PTS_FIRST) * PTS_PER_MAJOR + second }
  if (first === TTYAUX_MAJOR) {
    const is = (['ctty', 'console', 'master'] as const)[second]
    return is && { is }
  }
  if (first === TTY_MAJOR) return { is: second <= VT_LAST ? 'vt' : 'serial' }
  return SERIAL_MAJORS.includes(first) ? { is: 'serial' } : undefined
}

/** ttyACM, ttyUSB, small on-chip lines (ttyAMA, ttymxc, …), hvc. */
const SERIAL_MAJORS: readonly number[] = [166, 188, 204, 229]

/** The major numbers of all devices above. */
export const TTY_MAJORS: readonly number[] = [
  TTY_MAJOR,
  TTYAUX_MAJOR,
  ...Array.from({ length: PTS_LAST - PTS_FIRST + 1 }, (_, i) => PTS_FIRST + i),
  ...SERIAL_MAJORS,
]
