// Who holds the fresh pty of `restore --tty new`: a small process, which lets nothing pile up in it while nobody looks, and lends it to
// who shows it: the restore that has made it, then `bardo attach`. It outlives them, however they end.
//
// On the socket: a guest says ASKS and gets the master, and the modes that the emulator before was in. When somebody
// else asks, it is told TAKEN, says what modes there are, and hangs up: only then the next one gets the master, so that no two read it.
import { BardoError } from '../base/errors.ts'
import { bytesOf, textOf } from '../base/bytes.ts'
import { log } from '../base/log.ts'
import { environment, now_ms } from '../base/run.ts'
import { readSome } from '../kinds/tty/device.ts'
import { AT_FDCWD, EAGAIN, EINTR, POLLIN, SIGHUP, SOCK_CLOEXEC } from '../linux/constants.ts'
import { poll } from '../linux/poll.ts'
import { peerUid, receiveFile, sendFile } from '../linux/send-file.ts'
import { putAction, SIG_IGN, setAction } from '../linux/signal-action.ts'
import { SignalPipe } from '../linux/signal-pipe.ts'
import { must, OpenFile, readLink, sys } from '../linux/sys.ts'
import { Foreground, FORWARDED, forwardEarly } from './foreground.ts'
import { connectTo, findKept, NAME, Place } from './kept-places.ts'
import { Modes } from './modes.ts'
import type { Pty } from './terminal.ts'
import {
  ABOUT_TERMINAL,
  MESSAGE_MAX,
  MODES,
  openOwnTerminal,
  showTerminal,
  TAKEN,
  writeAll,
  type Shown,
} from './show.ts'

const PIECE = 16 << 10
const ASKS = 'a'
const [F_SETFD, FD_CLOEXEC] = [2, 1]
const SOCK_NONBLOCK = 0o4000
/** How long a guest may take to hang up when the terminal is asked for elsewhere: it may be stopped. */
const HANDOVER_ms = 1000
/** Connections that have said nothing yet. */
const CALLERS_MAX = 16

/** The descriptors of a keeper. The slave is open in it so that the terminal never hangs up before its root has ended (test/kernel/tty-slave-held.test.ts). */
const [MASTER, SLAVE, LISTENER, ENDED] = [3, 4, 5, 6]

/** Starts ourselves anew as the keeper, in a session of its own; it gets what it keeps. */
function startKeeper(pty: Pty, place: Place, root: number): void {
  using ended = new OpenFile(must('pidfd_open', root, 0))
  // A terminal that goes away tells all of its foreground group, which the new process is in until it leaves the session.
  const before = setAction(SIGHUP, SIG_IGN)
  const inside = Bun.main.startsWith('/$bunfs/')
  // Not what the runtime noted at its start: an executable that starts frozen had another name then.
  const link = readLink(AT_FDCWD, '/proc/self/exe')
  const executable = typeof link === 'number' ? process.execPath : textOf(link)
  const program = inside ? [executable] : [executable, '--no-env-file', '--config=/dev/null', Bun.main]
  Bun.spawn([...program, '--keep-terminal', place.path], {
    stdio: ['ignore', 'ignore', 'ignore', pty.master, pty.slave, place.listener, ended.fd],
    detached: true,
    cwd: '/',
    env: environment(),
  }).unref()
  putAction(SIGHUP, before)
  place.handOn()
}

export { Place }

/** How a restored tree is shown at first. */
export type First = { readonly detached: boolean; readonly keepsSize: boolean; readonly startsStopped: boolean }

/** Gives the pty of `root`, our child, to a keeper, and shows it here until it ends or the user leaves it. The status. */
export function keepAndShow(pty: Pty, place: Place, root: number, first: First): number {
  startKeeper(pty, place, root)
  for (const fd of [pty.master, pty.slave]) sys('close', fd)
  if (first.detached) return 0
  const own = openOwnTerminal()
  let shown: Shown = 'ended'
  if (own === undefined) log.info(() => `There is no terminal here: bardo attach ${place.name} shows it`)
  else {
    using socket = new OpenFile(connectTo(place.path))
    if (socket.fd < 0) throw new BardoError('lost', 'who was to keep the terminal has gone')
    shown = showKept(own, socket.fd, place.name, first.keepsSize, root, signo => {
      sys('kill', root, signo)
      return false
    })
  }
  if (shown !== 'ended') return 0
  using waiting = new Foreground([])
  waiting.begin(root)
  return waiting.wait(root, first.startsStopped)
}

/** Asks for the master, and shows it; for the restore of `root`, until that has ended. */
function showKept(
  own: number,
  keeper: number,
  name: string,
  keepsSize: boolean,
  root: number | undefined,
  onSignal: (signo: number) => boolean,
): Shown {
  using signals = new SignalPipe([...new Set([...ABOUT_TERMINAL, ...FORWARDED])])
  if (root !== undefined) forwardEarly(root)
  sys('write', keeper, ASKS, ASKS.length)
  using master = new OpenFile(receiveFile(keeper))
  const shown = showTerminal({ master: master.fd, own, keeper, signals, keepsSize, onSignal })
  const says: Record<Shown, string | undefined> = {
    detached: `left process ${name} running; show it again: bardo attach ${name}`,
    taken: `process ${name} is shown elsewhere now`,
    ended: `process ${name} has ended`,
    gone: undefined,
  }
  if (says[shown] !== undefined) writeAll(own, bytesOf(`\r\n[${says[shown]}]\r\n`))
  return shown
}

/** Shows the terminal of `wanted` here, or of the only one that is kept. The status. */
export function attachTerminal(wanted: string | undefined): number {
  const own = openOwnTerminal()
  if (own === undefined)
    throw new BardoError('usage', 'there is no terminal here to show it on', {
      why: 'none of standard input, output and error is one',
    })
  const { name, socket } = findKept(wanted)
  using line = new OpenFile(socket)
  showKept(own, line.fd, name, false, undefined, () => true)
  return 0
}

/** The keeper's whole life: `--keep-terminal PATH`, with what it keeps as descriptors 3 to 6. */
export function keepTerminal(path: string): number {
  if (!path.startsWith('/') || !NAME.test(path.slice(path.lastIndexOf('/') + 1)))
    throw new BardoError('usage', '--keep-terminal is what bardo calls itself with')
  setAction(SIGHUP, SIG_IGN)
  for (const fd of [MASTER, SLAVE, LISTENER, ENDED]) must('fcntl', fd, F_SETFD, FD_CLOEXEC)
  const keeper = new Keeper()
  while (keeper.step());
  sys('unlinkat', AT_FDCWD, path, 0)
  return 0
}

class Keeper {
  #guest = -1
  #callers: number[] = []
  /** As the last guest has told them, and as they have come since. */
  #modes = new Modes()

  /** False when the root has ended. */
  step(): boolean {
    // While a guest shows the terminal, what is said goes there.
    const [said, called, left, over, ...spoken] = poll([
      { fd: this.#guest < 0 ? MASTER : -1, events: POLLIN },
      { fd: this.#callers.length < CALLERS_MAX ? LISTENER : -1, events: POLLIN },
      { fd: this.#guest, events: POLLIN },
      { fd: ENDED, events: POLLIN },
      ...this.#callers.map(fd => ({ fd, events: POLLIN })),
    ]) as [number, number, number, number, ...number[]]
    if (over !== 0) return false
    if (said !== 0) {
      const piece = readSome(MASTER, PIECE)
      if (typeof piece !== 'number') this.#modes.note(piece)
    }
    if (left !== 0 && !this.#hear()) this.#dismiss()
    const callers = this.#callers
    spoken.forEach((events, index) => {
      if (events !== 0) this.#answer(callers[index]!)
    })
    if (called !== 0) this.#accept()
    return true
  }

  #accept(): void {
    const caller = sys('accept4', LISTENER, 0, 0, SOCK_CLOEXEC | SOCK_NONBLOCK)
    if (caller < 0) return
    // The directory keeps others out; who has its path in another way is asked for.
    const uid = peerUid(caller)
    if (uid === 0 || uid === sys('geteuid')) this.#callers.push(caller)
    else sys('close', caller)
  }

  #answer(caller: number): void {
    this.#callers = this.#callers.filter(one => one !== caller)
    const word = readSome(caller, MESSAGE_MAX)
    if (typeof word === 'number' || textOf(word) !== ASKS) {
      sys('close', caller)
      return
    }
    // Who comes later takes it over: the one before may be in a window that is out of reach.
    this.#takeBack()
    if (!sendFile(caller, MASTER)) {
      sys('close', caller)
      return
    }
    this.#guest = caller
    const modes = bytesOf(`${MODES}${this.#modes.doing}`)
    sys('write', caller, modes, modes.length)
  }

  /** Tells the guest that it has to leave, and waits until it has done so. */
  #takeBack(): void {
    if (this.#guest < 0) return
    sys('write', this.#guest, TAKEN, TAKEN.length)
    const end = now_ms() + HANDOVER_ms
    for (let left = HANDOVER_ms; left > 0; left = Math.ceil(end - now_ms()))
      if (poll([{ fd: this.#guest, events: POLLIN }], left)[0] !== 0 && !this.#hear()) break
    this.#dismiss()
  }

  /** What the guest says: the modes that it leaves. False when it has hung up. */
  #hear(): boolean {
    const word = readSome(this.#guest, MESSAGE_MAX)
    if (typeof word === 'number') return word === -EAGAIN || word === -EINTR
    if (word.length === 0) return false
    if (textOf(word).startsWith(MODES)) {
      this.#modes = new Modes()
      this.#modes.note(word.subarray(1))
    }
    return true
  }

  #dismiss(): void {
    sys('close', this.#guest)
    this.#guest = -1
  }
}
