// `--tty`: the terminal that the tree is put on, whatever it was on before.
import { BardoError } from '../base/errors.ts'
import { log } from '../base/log.ts'
import type { RestoreOptions, StandIn } from '../base/options.ts'
import type { Info } from '../kinds/tty/info.ts'
import { ask, isTerminal, readWinsize } from '../kinds/tty/device.ts'
import { winsizeBytes } from '../kinds/tty/termios.ts'
import {
  AF_UNIX,
  AT_FDCWD,
  O_CLOEXEC,
  O_NOCTTY,
  O_NONBLOCK,
  O_RDWR,
  TIOCGPTN,
  TIOCGPTPEER,
  TIOCGSID,
  TIOCSPTLCK,
  TIOCSWINSZ,
  SOCK_CLOEXEC,
  SOCK_STREAM,
} from '../linux/constants.ts'
import { sendFile, unixAddress } from '../linux/send-file.ts'
import { must, refusal, sys } from '../linux/sys.ts'
import type { Image, Task } from './load.ts'

export type ChosenTerminal = Pick<StandIn, 'fd' | 'as'> & { readonly isNew: boolean }

/** What `--tty` names, open: `using`. */
export class Chosen {
  readonly standIn: ChosenTerminal | undefined
  #master: number | undefined
  /** The socket that gets the master. */
  readonly receiver: number | undefined
  readonly #closes: boolean

  constructor(standIn?: ChosenTerminal, closes = false, master?: number, receiver?: number) {
    this.receiver = receiver
    this.standIn = standIn
    this.#closes = closes
    this.#master = master
  }

  /** The other end of a fresh pty. */
  get master(): number | undefined {
    return this.#master
  }

  /** The master, for who keeps it from here on. Our own slave is closed, so that the pty hangs up with its last user. */
  takeMaster(): number {
    const master = this.#master!
    this[Symbol.dispose](false)
    return master
  }

  /** Hands the master out, and forgets it. */
  handOut(receiver: number): void {
    const master = this.takeMaster()
    const sent = sendFile(receiver, master)
    sys('close', master)
    if (!sent) log.warn('restore', 'nobody took the master of the new terminal, which has hung up')
  }

  [Symbol.dispose](masterToo = true): void {
    if (this.#closes && this.standIn !== undefined && !this.#closed) sys('close', this.standIn.fd)
    this.#closed = true
    if (this.#master !== undefined && masterToo) sys('close', this.#master)
    this.#master = undefined
  }

  #closed = false
}

/** Opens the terminal that the options choose. Throws `usage` where it is none. */
export function openChoice({ tty }: RestoreOptions): Chosen {
  if (tty === undefined) return new Chosen()
  if (tty.kind === 'new') return newPty()
  // Before anything else: without who takes the master, nothing is to be restored.
  if (tty.kind === 'handed') return newPty(typeof tty.to === 'number' ? tty.to : connect(tty.to))
  if (tty.kind === 'fd') {
    mustBeSlave(tty.fd, `--tty fd:${tty.fd}`)
    return new Chosen({ fd: tty.fd, as: `--tty fd:${tty.fd}`, isNew: false })
  }
  const fd = sys('openat', AT_FDCWD, tty.path, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC)
  if (fd < 0) throw refusal('openat', fd, tty.path)
  const chosen = new Chosen({ fd, as: `--tty ${tty.path}`, isNew: false }, true)
  mustBeSlave(fd, `--tty ${tty.path}`)
  return chosen
}

function mustBeSlave(fd: number, as: string): void {
  const hint = 'name a terminal, such as /dev/pts/3 (tty(1) tells its name), or new'
  if (!isTerminal(fd)) throw new BardoError('usage', `${as} is not a terminal`, { hint })
  if (typeof ask(fd, TIOCGPTN, 4) !== 'number')
    throw new BardoError('usage', `${as} is the master of a pty`, { why: 'a terminal is its other end', hint })
}

function connect(path: string): number {
  const socket = must('socket', AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)
  const address = unixAddress(path)
  const result = sys('connect', socket, address, address.length)
  if (result < 0) throw new BardoError('refused', `cannot connect to the socket ${path}`, { errno: -result })
  return socket
}

function newPty(receiver?: number): Chosen {
  const master = must('openat', AT_FDCWD, '/dev/ptmx', O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK)
  must('ioctl', master, TIOCSPTLCK, new Uint8Array(4))
  const fd = must('ioctl', master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC)
  return new Chosen({ fd, as: '--tty new', isNew: true }, true, master, receiver)
}

/** A fresh pty has the size of the window that shows it; until one does, that of the image. */
export function giveSize(fd: number, terminals: readonly { readonly info: Info }[]): void {
  const here = [0, 1, 2].find(one => isTerminal(one))
  const size = here === undefined ? terminals[0]?.info.settings?.winsize : readWinsize(here)
  if (size !== undefined) sys('ioctl', fd, TIOCSWINSZ, winsizeBytes(size))
}

/**
 * The options for a tree that is put on the chosen terminal. A session that was left outside, a shell's, is ours if this is our own
 * controlling terminal. On any other the root leads a session of its own: a terminal is controlled by one session only.
 */
export function putOn(image: Image, options: RestoreOptions, { fd, as }: ChosenTerminal): RestoreOptions {
  const { root, tasks } = image
  const outer = tasks.some(({ pid }) => pid === root.sid) ? undefined : root.sid
  if (outer === undefined) return { ...options, terminal: { fd, as, leader: undefined } }
  if (typeof ask(fd, TIOCGSID, 4) !== 'number')
    return { ...options, shellJob: true, terminal: { fd, as, leader: undefined } }
  for (const task of tasks) {
    if (task.sid !== outer) continue
    const own = task as { -readonly [K in keyof Task]: Task[K] }
    own.sid = root.pid
    // A group whose leader was outside cannot be made again beside the one that still has its id.
    if (task === root || !tasks.some(({ pid }) => pid === task.pgid)) own.pgid = root.pid
  }
  return { ...options, terminal: { fd, as, leader: root.pid } }
}
