// Shows a pty on a terminal of ours: what a terminal emulator does between its window and a program, in raw mode.
import { bytesOf, textOf } from '../base/bytes.ts'
import { ask, isTerminal, readSome, readTermios, readWinsize } from '../kinds/tty/device.ts'
import { termiosBytes, winsizeBytes, type Termios } from '../kinds/tty/termios.ts'
import {
  AT_FDCWD,
  EAGAIN,
  EINTR,
  F_DUPFD_CLOEXEC,
  O_CLOEXEC,
  O_NOCTTY,
  O_NONBLOCK,
  O_RDWR,
  POLLHUP,
  POLLIN,
  POLLOUT,
  SIGCONT,
  SIGHUP,
  SIGSTOP,
  SIGTSTP,
  SIGWINCH,
  TCSETS2,
  TIOCGPGRP,
  TIOCSWINSZ,
} from '../linux/constants.ts'
import { poll } from '../linux/poll.ts'
import type { SignalPipe } from '../linux/signal-pipe.ts'
import { must, sys } from '../linux/sys.ts'
import { Guard, leadersGroup, shownGroup } from './guard.ts'
import { Modes } from './modes.ts'

/** Ctrl-\ and then d. Ctrl-\ twice is one for the program. */
const PREFIX = 0x1c
const DETACH = 0x64
const [POLLERR, POLLNVAL] = [8, 32]
const PIECE = 16 << 10
/** What was typed and the program has not taken: as long as there is more, no more is read. */
const UNTAKEN_MAX = 64 << 10
/** What a pty holds that nobody writes to any more: what is shown after the end is not more than that. */
const LEFT_MAX = 128 << 10
/** How long a terminal that takes nothing is waited for when we leave it. */
const PATIENCE_ms = 1000

/** What the keeper says on the socket before it shows the terminal elsewhere. */
export const TAKEN = 't'
/** Before sequences that bring an emulator into the modes of the program: both ways. */
export const MODES = 'm'
/** A message with modes. */
export const MESSAGE_MAX = 4096

/** Our own terminal, opened for ourselves, so that a flag of ours is nobody else's; undefined without one. */
export function openOwnTerminal(): number | undefined {
  const fd = [0, 1, 2].find(one => isTerminal(one))
  if (fd === undefined) return undefined
  const own = sys('openat', AT_FDCWD, `/proc/self/fd/${fd}`, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC)
  // It may belong to another user (su, sudo). Then a write may wait; what else there is to do waits with it.
  return own < 0 ? must('fcntl', fd, F_DUPFD_CLOEXEC, 3) : own
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

/** Writes all of it, waiting for who reads as long as it takes something now and then. */
export function writeAll(fd: number, bytes: Uint8Array): boolean {
  for (let at = 0; at < bytes.length;) {
    const count = sys('write', fd, bytes.subarray(at), bytes.length - at)
    if (count > 0) at += count
    else if (count === -EAGAIN) {
      if (poll([{ fd, events: POLLOUT }], PATIENCE_ms)[0] !== POLLOUT) return false
    } else if (count !== -EINTR) return false
  }
  return true
}

/** `ended`: the keeper has closed the line; `gone`: our own terminal was hung up; `taken`: it is shown elsewhere now. */
export type Shown = 'detached' | 'ended' | 'gone' | 'taken'

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

/** Gives the pty the size of our window. */
function resize(master: number, own: number): void {
  if (isTerminal(own)) sys('ioctl', master, TIOCSWINSZ, winsizeBytes(readWinsize(own)))
}

/** Has the program draw again: SIGWINCH comes of itself only where the size is another one. */
function redraw(master: number): void {
  const group = ask(master, TIOCGPGRP, 4)
  const pgrp = typeof group === 'number' ? 0 : new DataView(group.buffer).getInt32(0, true)
  if (pgrp > 0) sys('kill', -pgrp, SIGWINCH)
}

/** What is shown where. */
export type Line = {
  readonly master: number
  readonly own: number
  /** To the keeper, which has lent us the master. */
  readonly keeper: number
  readonly signals: SignalPipe
  /** The pty keeps the size that it has until our window changes. */
  readonly keepsSize: boolean
  /** Gets all signals that are not about our terminal; true from it: leave. */
  onSignal(signo: number): boolean
}

/** Signals that `Line.signals` has to have. */
export const ABOUT_TERMINAL: readonly number[] = [SIGHUP, SIGWINCH, SIGTSTP, SIGCONT]

/**
 * Shows a pty on our terminal until the user detaches, the keeper has us leave, or our terminal goes away. Our terminal is then
 * as it was, emulator's modes included.
 */
export function showTerminal(line: Line): Shown {
  const shower = new Shower(line)
  using guard = new Guard([line.own])
  const shown = shownGroup(line.own) !== undefined && { group: must('getpgid', 0), except: leadersGroup() }
  guard.keep([{ fd: line.own, termios: shower.before, ...(shown && { shown }) }])
  try {
    if (!shower.begin()) return 'gone'
    for (;;) {
      const shown = shower.step()
      if (shown === undefined) continue
      shower.leave(shown)
      return shown
    }
  } finally {
    sys('ioctl', line.own, TCSETS2, termiosBytes(shower.before))
  }
}

class Shower {
  readonly #line: Line
  readonly before: Termios
  readonly #modes = new Modes()
  /** Typed, and not taken yet; written, and not shown yet. Neither is waited for: signals and the keeper come first. */
  #input: Uint8Array = new Uint8Array()
  #output: Uint8Array = new Uint8Array()
  #prefix = false

  constructor(line: Line) {
    this.#line = line
    this.before = readTermios(line.own)
  }

  /** False where our terminal is out of reach: hung up, or we are in the background and nobody's job. */
  begin(): boolean {
    if (!this.#setRaw()) return false
    if (!this.#line.keepsSize) resize(this.#line.master, this.#line.own)
    redraw(this.#line.master)
    return true
  }

  /** In the background we are stopped by this, and go on when we are in the foreground; a signal may come first. */
  #setRaw(): boolean {
    for (;;) {
      const result = sys('ioctl', this.#line.own, TCSETS2, termiosBytes(raw(this.before)))
      if (result !== -EINTR) return result >= 0
    }
  }

  /** Waits for something, and does what there is to do. */
  step(): Shown | undefined {
    const { own, master, keeper, signals } = this.#line
    const canType = this.#input.length < UNTAKEN_MAX
    const ownEvents = (canType ? POLLIN : 0) | (this.#output.length > 0 ? POLLOUT : 0)
    const masterEvents = (this.#output.length === 0 ? POLLIN : 0) | (this.#input.length > 0 ? POLLOUT : 0)
    const [atOwn, atMaster, atKeeper] = poll([
      { fd: own, events: ownEvents },
      { fd: masterEvents === 0 ? -1 : master, events: masterEvents },
      { fd: keeper, events: POLLIN },
      { fd: signals.fd, events: POLLIN },
    ]) as [number, number, number, number]
    const said = this.#heed()
    if (said !== undefined) return said
    // Before the master is read: from when the keeper has spoken, what is there is for somebody else.
    if (atKeeper !== 0) {
      const word = this.#hear()
      if (word !== undefined) return word
    }
    if ((atMaster & POLLIN) !== 0 && this.#output.length === 0) this.#take()
    if ((atMaster & POLLOUT) !== 0) this.#input = rest(master, this.#input) ?? new Uint8Array()
    if ((atOwn & POLLOUT) !== 0) {
      const left = rest(own, this.#output)
      if (left === undefined) return 'gone'
      this.#output = left
    }
    if ((atOwn & (POLLIN | POLLHUP | POLLERR | POLLNVAL)) !== 0) return this.#type()
    return undefined
  }

  #heed(): Shown | undefined {
    const { own, master, signals } = this.#line
    for (let signal = signals.next(); signal !== undefined; signal = signals.next()) {
      switch (signal.signo) {
        case SIGHUP:
          return 'gone'
        case SIGWINCH:
          resize(master, own)
          break
        case SIGTSTP:
          // Sent by somebody: a ^Z that is typed goes to the program.
          sys('ioctl', own, TCSETS2, termiosBytes(this.before))
          sys('kill', sys('getpid'), SIGSTOP)
          break
        case SIGCONT:
          // The shell has set its own meanwhile, and has shown other things.
          if (!this.begin()) return 'gone'
          break
        default:
          if (this.#line.onSignal(signal.signo)) return 'detached'
      }
    }
    return undefined
  }

  /** A word from the keeper. */
  #hear(): Shown | undefined {
    const word = readSome(this.#line.keeper, MESSAGE_MAX)
    if (typeof word === 'number') return word === -EAGAIN || word === -EINTR ? undefined : 'ended'
    if (word.length === 0) return 'ended'
    const text = textOf(word)
    if (text === TAKEN) return 'taken'
    // The window before had these: ours shall have them, too.
    if (text.startsWith(MODES)) {
      this.#modes.note(word.subarray(1))
      this.#output = joined(word.subarray(1), this.#output)
    }
    return undefined
  }

  /** What the program has written. */
  #take(): boolean {
    const piece = readSome(this.#line.master, PIECE)
    if (typeof piece === 'number' || piece.length === 0) return false
    this.#modes.note(piece)
    this.#output = piece
    return true
  }

  /** What the user has typed. */
  #type(): Shown | undefined {
    const typed = readSome(this.#line.own, PIECE)
    if (typeof typed === 'number') return typed === -EAGAIN || typed === -EINTR ? undefined : 'gone'
    if (typed.length === 0) return 'gone'
    const { bytes, prefix, detach } = readKeys(typed, this.#prefix)
    this.#prefix = prefix
    this.#input = joined(this.#input, Uint8Array.from(bytes))
    return detach ? 'detached' : undefined
  }

  /** The last that is seen, and the emulator as it was. */
  leave(shown: Shown): void {
    const { own, master, keeper } = this.#line
    const modes = bytesOf(`${MODES}${this.#modes.doing}`)
    if (shown !== 'ended' && modes.length <= MESSAGE_MAX) sys('write', keeper, modes, modes.length)
    if (shown !== 'taken') rest(master, this.#input)
    if (shown !== 'gone') {
      let isThere = writeAll(own, this.#output)
      if (shown === 'ended')
        for (let left = LEFT_MAX; isThere && left > 0 && this.#take(); left -= this.#output.length)
          isThere = writeAll(own, this.#output)
      const undoing = bytesOf(this.#modes.undoing)
      if (isThere) writeAll(own, undoing)
    }
  }
}

/** What of `bytes` could not be written now; undefined where nothing can be written any more. */
function rest(fd: number, bytes: Uint8Array): Uint8Array | undefined {
  if (bytes.length === 0) return bytes
  const count = sys('write', fd, bytes, bytes.length)
  if (count >= 0) return bytes.subarray(count)
  return count === -EAGAIN || count === -EINTR ? bytes : undefined
}

function joined(one: Uint8Array, other: Uint8Array): Uint8Array {
  if (one.length === 0) return other
  const both = new Uint8Array(one.length + other.length)
  both.set(one)
  both.set(other, one.length)
  return both
}
