// Reads what is on its way in a pair of ptys. The kernel has no way to look without taking, so all is put back at once,
// before the dump goes on: whatever becomes of the dump, the pair has what it had. Its tasks are stopped meanwhile.
import { asBardoError } from '../../base/errors.ts'
import { log } from '../../base/log.ts'
import {
  EAGAIN,
  EIO,
  F_GETFL,
  F_SETFL,
  FIONREAD,
  O_NONBLOCK,
  POLLIN,
  POLLOUT,
  POLLPRI,
  TCSETS2,
} from '../../linux/constants.ts'
import { must, refusal, sys } from '../../linux/sys.ts'
import { ask, pollFile, readSome } from './device.ts'
import { atOnce } from './hands.ts'
import { endsLine, joined, NO_INPUT, PROCESSED_MAX, splitInput, type Line } from './queue.ts'
import { refill, start, type Queues } from './refill.ts'
import {
  DISABLED,
  EXTPROC,
  ICANON,
  ICRNL,
  IGNCR,
  isCanonical,
  IXON,
  termiosBytes,
  VEOF,
  VEOL,
  VEOL2,
  VMIN,
  VTIME,
  type Termios,
} from './termios.ts'

const RETURN = 0x0d
const READ_SIZE = 64 << 10

/**
 * Reads the queues of a pair and puts them back. `master` is the tree's own description; `slave` is one of ours, open
 * for reading and writing, and does not block.
 */
export function readQueues(master: number, slave: number, termios: Termios, packet: boolean): Queues {
  const quick = peek(master, slave, termios)
  if (typeof quick !== 'string') return { ...quick, packet }
  // What was typed a moment ago may still be on its way to the line discipline: it shall be processed as the program's
  // settings want, before they are changed. Nothing tells when it was, where something waits to be read already.
  atOnce.pause()
  const taken: Taken = { status: 0, output: [], lines: [], rest: [] }
  let stopped = false
  try {
    takeOutput(master, packet, taken)
    stopped = (pollFile(slave, POLLOUT) & POLLOUT) === 0
    if (stopped) takeEchoes(master, slave, packet, taken)
    if (quick === 'queued' && isCanonical(termios)) takeLines(slave, termios, taken)
    takeRest(slave, termios, taken)
  } finally {
    putBack(master, slave, termios, queuesOf(taken, termios, stopped, packet))
  }
  return queuesOf(taken, termios, stopped, packet)
}

function putBack(master: number, slave: number, termios: Termios, queues: Queues): void {
  const flags = must('fcntl', master, F_GETFL)
  // The tree's own description may block; nobody reads now who could make room.
  must('fcntl', master, F_SETFL, flags | O_NONBLOCK)
  try {
    refill(atOnce, master, slave, termios, queues)
  } catch (thrown) {
    set(slave, termios)
    log.error('kinds/tty', `what was queued in a terminal could not all be put back: ${asBardoError(thrown).what}`)
  } finally {
    must('fcntl', master, F_SETFL, flags)
  }
}

type Taken = { status: number; readonly output: Uint8Array[]; readonly lines: Line[]; readonly rest: Uint8Array[] }

const queuesOf = (
  { status, output, lines, rest }: Taken,
  termios: Termios,
  stopped: boolean,
  packet: boolean,
): Queues => ({
  input: splitInput(lines, joined(rest), termios.c_cc[VEOF]!),
  output: joined(output),
  status,
  stopped,
  packet,
})

/**
 * Most pairs have nothing on its way: that is found without touching anything. Otherwise, whether more than a `partial`
 * line is there; canonical mode has been left to find that.
 */
function peek(master: number, slave: number, termios: Termios): Omit<Queues, 'packet'> | 'partial' | 'queued' {
  const masterEvents = pollFile(master) & (POLLIN | POLLPRI)
  const events = pollFile(slave, POLLIN | POLLOUT)
  if ((events & POLLIN) !== 0 || queuedBytes(slave) > 0) return 'queued'
  if (isCanonical(termios) && hasPartialLine(slave, termios)) return 'partial'
  // While output is stopped, echoes may be held back.
  if (masterEvents !== 0 || (events & POLLOUT) === 0) return 'queued'
  return { input: NO_INPUT, output: new Uint8Array(), status: 0, stopped: false }
}

function queuedBytes(fd: number): number {
  const answer = ask(fd, FIONREAD, 4)
  if (typeof answer === 'number') throw refusal('ioctl', answer, fd, FIONREAD)
  return new DataView(answer.buffer).getUint32(0, true)
}

/**
 * Whether a line is being typed, where no whole one is queued. In canonical mode nothing tells; to leave it and to come
 * back changes nothing, as long as there is nothing. If there is, it has become a whole line, and must be typed again.
 */
function hasPartialLine(slave: number, termios: Termios): boolean {
  set(slave, { ...termios, c_lflag: termios.c_lflag & ~ICANON })
  try {
    if (queuedBytes(slave) > 0) return true
  } catch (thrown) {
    set(slave, termios)
    throw thrown
  }
  set(slave, termios)
  return false
}

const set = (fd: number, termios: Termios): void => void must('ioctl', fd, TCSETS2, termiosBytes(termios))

/** In packet mode a read gives one status, or a zero and then data. */
function takeOutput(master: number, packet: boolean, taken: Taken): void {
  while ((pollFile(master) & (POLLIN | POLLPRI)) !== 0) {
    const got = readSome(master, READ_SIZE)
    if (got === -EIO || got === -EAGAIN) return
    if (typeof got === 'number') throw refusal('read', got, master)
    if (packet && got[0] !== 0) taken.status |= got[0] ?? 0
    else if (got.length > (packet ? 1 : 0)) taken.output.push(packet ? got.slice(1) : got)
    else return
  }
}

/**
 * Echoes that wait for output to go on can only be had by letting it. They stand behind the rest of the output then, and
 * the master may see them before output is started by who stopped it.
 */
function takeEchoes(master: number, slave: number, packet: boolean, taken: Taken): void {
  const { status } = taken
  start(atOnce, slave)
  // A write begins with the echoes (process_echoes in n_tty_write), even of nothing.
  sys('write', slave, new Uint8Array(0), 0)
  takeOutput(master, packet, taken)
  taken.status = status
}

/**
 * The settings under which what still waits in front of the line discipline is taken as it is. What ends a line still
 * does: of a line that is longer than the buffer, all that is too much is thrown away.
 */
function quietTermios(termios: Termios, canonical: boolean): Termios {
  const c_cc = termios.c_cc.slice()
  if (canonical) {
    // A return that would be taken for a newline ends a line too, and shall stay what it is.
    const free = [VEOL, VEOL2].find(one => c_cc[one] === DISABLED)
    if ((termios.c_iflag & (ICRNL | IGNCR)) === ICRNL && free !== undefined) c_cc[free] = RETURN
  } else {
    for (const special of [VEOF, VEOL, VEOL2]) c_cc[special] = DISABLED
    c_cc[VMIN] = 1
    c_cc[VTIME] = 0
  }
  // IXON stays as it was: to leave it would start output that is stopped, and a master would be told of the change.
  return {
    ...termios,
    c_iflag: termios.c_iflag & IXON,
    c_oflag: 0,
    c_cc,
    c_lflag: termios.c_lflag & (canonical ? ICANON | EXTPROC : EXTPROC),
  }
}

/** Each read gives one line: first those that the program's settings have ended, then those that ours do. */
function takeLines(slave: number, termios: Termios, taken: Taken): void {
  const quiet = quietTermios(termios, true)
  set(slave, quiet)
  let used = 0
  readAll(slave, bytes => {
    used += bytes.length
    const eof = !endsLine(used < PROCESSED_MAX ? termios : quiet, bytes[bytes.length - 1])
    if (eof) used++
    taken.lines.push({ bytes, eof })
  })
}

function takeRest(slave: number, termios: Termios, taken: Taken): void {
  set(slave, quietTermios(termios, false))
  readAll(slave, bytes => taken.rest.push(bytes))
}

/** Reads until there is nothing more: then the kernel has moved all that waited (n_tty_read flushes the work first). */
function readAll(slave: number, take: (bytes: Uint8Array) => void): void {
  for (;;) {
    const got = readSome(slave, READ_SIZE)
    if (got === -EAGAIN || got === -EIO) return
    if (typeof got === 'number') throw refusal('read', got, slave)
    take(got)
  }
}
