// Puts into a pair of ptys what was on its way in it: input, typed ahead; output, not yet read by the master; and what a
// master in packet mode is still to be told.
//
// Input is typed again under settings in which every byte is what it is, and the settings of the program are set when
// all has been processed. The line discipline works on its own time, so that has to be waited for: with the input ends a
// character that stops output, and a master in packet mode is told of that (test/kernel/tty-stop-tells.test.ts).
import {
  TCFLSH,
  TCIFLUSH,
  TCOFLUSH,
  TCOOFF,
  TCOON,
  TCSETS2,
  TCXONC,
  TIOCPKT,
  TIOCPKT_DOSTOP,
  TIOCPKT_FLUSHREAD,
  TIOCPKT_FLUSHWRITE,
  TIOCPKT_NOSTOP,
  TIOCPKT_START,
} from '../../linux/constants.ts'
import type { Hands } from './hands.ts'
import { isEmpty, joined, PROCESSED_MAX, typingOf, type Input, type Special } from './queue.ts'
import {
  DISABLED,
  EXTPROC,
  hasUsualFlowControl,
  ICANON,
  IEXTEN,
  IXON,
  termiosBytes,
  VEOF,
  VEOL,
  VEOL2,
  VLNEXT,
  VMIN,
  VSTART,
  VSTOP,
  VTIME,
  withFlowControl,
  type Termios,
} from './termios.ts'

export type Queues = {
  /** For the slave. */
  readonly input: Input
  /** For the master. */
  readonly output: Uint8Array
  /** TIOCPKT_… bits that the master has not read. */
  readonly status: number
  /** Output of the slave is stopped, and so are writers. */
  readonly stopped: boolean
  readonly packet: boolean
}

/** An int, for calls that take one by its address. */
export const int = (value: number): Uint8Array => new Uint8Array(Int32Array.of(value).buffer)

/** The settings under which nothing happens to what is typed but to `special` characters. */
export function typingTermios(termios: Termios, special: Special): Termios {
  const c_cc = new Uint8Array(termios.c_cc.length)
  for (const same of [VEOL, VEOL2]) c_cc[same] = termios.c_cc[same]!
  c_cc[VSTOP] = special.stop
  c_cc[VSTART] = special.start
  c_cc[VLNEXT] = special.quote
  c_cc[VEOF] = special.eof
  c_cc[VMIN] = 1
  c_cc[VTIME] = 0
  // A change of ICANON or EXTPROC would make one line of all that is queued (n_tty_set_termios).
  const c_lflag = (termios.c_lflag & (ICANON | EXTPROC)) | IEXTEN
  return { ...termios, c_iflag: IXON, c_oflag: 0, c_lflag, c_cc }
}

/**
 * Both files are open for reading and writing, and are of one pair whose queues are empty. In the end the settings are
 * `termios`, and the master is in packet mode if it shall be.
 */
export function refill<F>(hands: Hands<F>, master: F, slave: F, termios: Termios, queues: Queues): void {
  const { input, output, status, stopped, packet } = queues
  const { typing, byHand } = typingOf(input, termios)
  const set = (settings: Termios): void => hands.ioctl(slave, TCSETS2, termiosBytes(settings))
  if (stopped) start(hands, slave)
  for (const { bytes, special, hasRoom } of typing) {
    set(typingTermios(termios, special))
    if (!hasRoom) {
      hands.write(master, bytes)
      hands.pause()
      continue
    }
    // With EXTPROC every byte is taken as it is, under any settings: there is nothing to wait for, and nothing stops.
    if ((termios.c_lflag & EXTPROC) !== 0) {
      hands.write(master, bytes)
      continue
    }
    hands.ioctl(master, TIOCPKT, int(0))
    hands.ioctl(master, TIOCPKT, int(1))
    hands.write(master, joined([bytes, Uint8Array.of(special.stop)]))
    hands.takeByte(master)
    hands.write(master, Uint8Array.of(special.start))
    hands.takeByte(master)
  }
  // A status of flow control comes from a change of the settings: so they change when packet mode is on already.
  const toldOfFlow = (status & (TIOCPKT_DOSTOP | TIOCPKT_NOSTOP)) !== 0
  const flow = hasUsualFlowControl(termios)
  set({ ...withFlowControl(typingTermios(termios, PLAIN), toldOfFlow ? !flow : flow), c_oflag: 0 })
  hands.ioctl(master, TIOCPKT, int(0))
  if (packet) {
    hands.ioctl(master, TIOCPKT, int(1))
    // It would throw away what has just been typed.
    if ((status & TIOCPKT_FLUSHREAD) !== 0 && isEmpty(input)) hands.ioctl(slave, TCFLSH, TCIFLUSH)
    if ((status & TIOCPKT_FLUSHWRITE) !== 0) hands.ioctl(slave, TCFLSH, TCOFLUSH)
    if ((status & TIOCPKT_START) !== 0) start(hands, slave)
  }
  hands.write(slave, output.subarray(0, PROCESSED_MAX))
  if (output.length > PROCESSED_MAX) {
    hands.settle(master)
    hands.write(slave, output.subarray(PROCESSED_MAX))
  }
  set(termios)
  if (stopped) stop(hands, master, slave, termios)
  hands.write(master, byHand)
}

const PLAIN: Special = { stop: DISABLED, start: DISABLED, quote: DISABLED, eof: DISABLED }

/** Lets output go on, whether ^S stopped it or TCOOFF; a master in packet mode is told that it started. */
export function start<F>(hands: Hands<F>, slave: F): void {
  hands.ioctl(slave, TCXONC, TCOOFF)
  hands.ioctl(slave, TCXONC, TCOON)
}

/** Stops output as it was stopped: what ^S stopped, TCOON does not start, and the other way round. */
function stop<F>(hands: Hands<F>, master: F, slave: F, { c_iflag, c_cc }: Termios): void {
  if ((c_iflag & IXON) !== 0 && c_cc[VSTOP] !== DISABLED) hands.write(master, c_cc.slice(VSTOP, VSTOP + 1))
  else hands.ioctl(slave, TCXONC, TCOOFF)
}
