// Shows a pty on a terminal of ours: what a terminal emulator does between its window and a program, in raw mode.
import { ask, isTerminal, readSome, readTermios, readWinsize } from '../kinds/tty/device.ts'
import { termiosBytes, winsizeBytes, type Termios } from '../kinds/tty/termios.ts'
import {
  AT_FDCWD,
  EAGAIN,
  EINTR,
  O_CLOEXEC,
  O_NOCTTY,
  O_NONBLOCK,
  O_RDWR,
  POLLHUP,
  POLLIN,
  POLLOUT,
  SIGHUP,
  SIGWINCH,
  TCSETS2,
  TIOCGPGRP,
  TIOCSWINSZ,
} from '../linux/constants.ts'
import { poll } from '../linux/poll.ts'
import type { SignalPipe } from '../linux/signal-pipe.ts'
import { sys } from '../linux/sys.ts'

/** Ctrl-\ and then d. Ctrl-\ twice is one for the program. */
const PREFIX = 0x1c
const DETACH = 0x64
const POLLERR = 8
const PIECE = 16 << 10
/** How long a terminal without users is left alone: its program may open it again. */
const PAUSE_ms = 50

/** Our own terminal, opened for ourselves, so that a flag of ours is nobody else's; undefined without one. */
export function openOwnTerminal(): number | undefined {
  const fd = [0, 1, 2].find(one => isTerminal(one))
  if (fd === undefined) return undefined
  const own = sys('openat', AT_FDCWD, `/proc/self/fd/${fd}`, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC)
  return own < 0 ? undefined : own
}

/** cfmakeraw(3) */
function raw(termios: Termios): Termios {
  const c_cc = termios.c_cc.slice()
  // VTIME and VMIN: one byte is enough.
  c_cc[5] = 0
  c_cc[6] = 1
  return {
    ...termios,
    c_cc,
    c_iflag: termios.c_iflag & ~0o2753,
    c_oflag: termios.c_oflag & ~1,
    c_lflag: termios.c_lflag & ~0o100113,
    c_cflag: (termios.c_cflag & ~0o460) | 0o60,
  }
}

/** Writes all of it, waiting for who reads. False when nobody does any more. */
function writeAll(fd: number, bytes: Uint8Array): boolean {
  for (let at = 0; at < bytes.length;) {
    const count = sys('write', fd, bytes.subarray(at), bytes.length - at)
    if (count > 0) at += count
    else if (count === -EAGAIN) {
      if ((poll([{ fd, events: POLLOUT }])[0]! & (POLLHUP | POLLERR)) !== 0) return false
    } else if (count !== -EINTR) return false
  }
  return true
}

/** `ended`: `until` was readable; `gone`: our own terminal was hung up. */
export type Shown = 'detached' | 'ended' | 'gone'

/** Typed bytes without our own keys, and whether one of these asks to detach. */
export function readKeys(typed: Uint8Array, wasPrefix: boolean): { bytes: number[]; prefix: boolean; detach: boolean } {
  const bytes: number[] = []
  let prefix = wasPrefix
  for (const byte of typed) {
    if (!prefix && byte === PREFIX) {
      prefix = true
      continue
    }
    if (prefix && byte === DETACH) return { bytes, prefix: false, detach: true }
    // Twice is once; with any other key behind it, it was meant for the program.
    if (prefix && byte !== PREFIX) bytes.push(PREFIX)
    bytes.push(byte)
    prefix = false
  }
  return { bytes, prefix, detach: false }
}

/** Gives the pty the size of our window, and has the program draw again even if it had that size. */
function resize(master: number, own: number, always: boolean): void {
  const size = winsizeBytes(readWinsize(own))
  const before = winsizeBytes(readWinsize(master))
  sys('ioctl', master, TIOCSWINSZ, size)
  if (!always || size.some((byte, index) => byte !== before[index])) return
  const group = ask(master, TIOCGPGRP, 4)
  const pgrp = typeof group === 'number' ? 0 : new DataView(group.buffer).getInt32(0, true)
  if (pgrp > 0) sys('kill', -pgrp, SIGWINCH)
}

/**
 * Shows `master` on `own` until `until` becomes readable, the user detaches, or our terminal goes away. Our terminal is then as
 * it was. Signals other than SIGHUP and SIGWINCH go to `onSignal`; true from it means that `until` is to be asked again.
 */
export function showTerminal(
  master: number,
  own: number,
  until: number,
  signals: SignalPipe,
  onSignal: (signo: number) => boolean,
): Shown {
  const before = readTermios(own)
  sys('ioctl', own, TCSETS2, termiosBytes(raw(before)))
  try {
    resize(master, own, true)
    let prefix = false
    let paused = false
    let input: Uint8Array = new Uint8Array()
    for (;;) {
      const toMaster = (paused ? 0 : POLLIN) | (input.length > 0 ? POLLOUT : 0)
      const [typed, said, over] = poll(
        [
          { fd: input.length > 0 ? -1 : own, events: POLLIN },
          { fd: paused ? -1 : master, events: toMaster },
          { fd: until, events: POLLIN },
          { fd: signals.fd, events: POLLIN },
        ],
        paused ? PAUSE_ms : -1,
      ) as [number, number, number, number]
      paused = false
      for (let signal = signals.next(); signal !== undefined; signal = signals.next()) {
        if (signal.signo === SIGHUP) return 'gone'
        if (signal.signo === SIGWINCH) resize(master, own, false)
        else if (onSignal(signal.signo)) return 'detached'
      }
      if ((said & (POLLIN | POLLHUP)) !== 0) {
        const piece = readSome(master, PIECE)
        if (typeof piece !== 'number') {
          if (!writeAll(own, piece)) return 'gone'
        } else if (piece !== -EAGAIN && piece !== -EINTR) paused = true
      }
      if (input.length > 0 && (said & POLLOUT) !== 0) {
        const count = sys('write', master, input, input.length)
        if (count > 0) input = input.subarray(count)
        else if (count !== -EAGAIN && count !== -EINTR) input = new Uint8Array()
      }
      if (typed !== 0) {
        const keys = readSome(own, PIECE)
        if (typeof keys === 'number') {
          if (keys !== -EAGAIN && keys !== -EINTR) return 'gone'
        } else if (keys.length === 0) return 'gone'
        else {
          const read = readKeys(keys, prefix)
          prefix = read.prefix
          input = Uint8Array.from(read.bytes)
          if (read.detach) return 'detached'
        }
      }
      if (over !== 0) {
        for (let piece = readSome(master, PIECE); typeof piece !== 'number'; piece = readSome(master, PIECE))
          if (piece.length === 0 || !writeAll(own, piece)) break
        return 'ended'
      }
    }
  } finally {
    sys('ioctl', own, TCSETS2, termiosBytes(before))
  }
}
