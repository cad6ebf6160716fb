// `--tty`: the terminal that the tree is put on, whatever it was on before.
import { BardoError } from '../base/errors.ts'
import { log } from '../base/log.ts'
import type { RestoreOptions, StandIn } from '../base/options.ts'
import type { ImageDirectory } from '../image/directory.ts'
import { TtyType } from '../image/messages/tty.ts'
import type { Info } from '../kinds/tty/info.ts'
import { standIns } from '../kinds/tty/outside.ts'
import { ask, isTerminal, readWinsize } from '../kinds/tty/device.ts'
import { winsizeBytes } from '../kinds/tty/termios.ts'
import {
  AF_UNIX,
  AT_FDCWD,
  F_SETFL,
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
import { isConnectedUnixSocket, sendFile, unixAddress } from '../linux/send-file.ts'
import { must, refusal, sys } from '../linux/sys.ts'
import type { Image, Task } from './load.ts'

/** A terminal of ours that the tree gets, and what the image says of the one in its place. */
export type Used = { readonly fd: number; readonly info: Info }

export type ChosenTerminal = Pick<StandIn, 'fd' | 'as'> & { readonly isNew: boolean }

/** A fresh pty of ours, both ends. */
export type Pty = { readonly master: number; readonly slave: number }

/** What `--tty` names, open: `using`. */
export class Chosen {
  readonly standIn: ChosenTerminal | undefined
  /** The fresh pty, until it is given away. */
  #pty: Pty | undefined
  /** The socket that gets the master of a fresh pty. */
  readonly receiver: number | undefined

  constructor(standIn?: ChosenTerminal, pty?: Pty, receiver?: number) {
    this.standIn = standIn
    this.#pty = pty
    this.receiver = receiver
  }

  /** A fresh pty is to be kept, as nobody was named who takes it. */
  get isKept(): boolean {
    return this.#pty !== undefined && this.receiver === undefined
  }

  /** For who keeps it from here on. */
  take(): Pty {
    const pty = this.#pty!
    this.#pty = undefined
    return pty
  }

  /** Hands the master out, and forgets it. Our own slave is closed, so that the pty hangs up with its last user. */
  handOut(receiver: number): void {
    const { master, slave } = this.take()
    sys('close', slave)
    // Who takes it may read as he likes.
    must('fcntl', master, F_SETFL, 0)
    const sent = sendFile(receiver, master)
    sys('close', master)
    if (!sent) log.warn('restore', 'nobody took the master of the new terminal, which has hung up')
  }

  [Symbol.dispose](): void {
    if (this.#pty !== undefined) for (const fd of [this.#pty.master, this.#pty.slave]) sys('close', fd)
    this.#pty = undefined
  }
}

/** Opens the terminal that the options choose. Throws `usage` where it is none. */
export function openChoice({ tty }: RestoreOptions): Chosen {
  if (tty === undefined) return new Chosen()
  if (tty.kind === 'new') return newPty('--tty new')
  // Before anything else: without who takes the master, nothing is to be restored.
  if (tty.kind === 'handed') {
    const { to } = tty
    return newPty('--orphan-pts-master', typeof to === 'string' ? connect(to) : to === undefined ? to : connected(to))
  }
  if (tty.kind === 'fd') {
    mustBeSlave(tty.fd, `--tty fd:${tty.fd}`)
    return new Chosen({ fd: tty.fd, as: `--tty fd:${tty.fd}`, isNew: false })
  }
  // Ours until the end: a --tty of another session is put in order then, too.
  const fd = sys('openat', AT_FDCWD, tty.path, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC)
  if (fd < 0) throw refusal('openat', fd, tty.path)
  mustBeSlave(fd, `--tty ${tty.path}`)
  return new Chosen({ fd, as: `--tty ${tty.path}`, isNew: false })
}

function mustBeSlave(fd: number, as: string): void {
  const hint = 'name a terminal, such as /dev/pts/3 (tty(1) tells its name), or new'
  if (!isTerminal(fd)) throw new BardoError('usage', `${as} is not a terminal`, { hint })
  if (typeof ask(fd, TIOCGPTN, 4) !== 'number')
    throw new BardoError('usage', `${as} is the master of a pty`, { why: 'a terminal is its other end', hint })
}

/** A socket that the caller has given us: a master that nobody takes would hang up. */
function connected(fd: number): number {
  if (isConnectedUnixSocket(fd)) return fd
  throw new BardoError('usage', `--orphan-pts-master fd:${fd}: descriptor ${fd} is no connected unix socket`, {
    hint: 'give one end of a socketpair(2), or the path of a listening socket',
  })
}

function connect(path: string): number {
  const socket = must('socket', AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)
  const address = unixAddress(path)
  const result = sys('connect', socket, address, address.length)
  if (result < 0) throw new BardoError('refused', `cannot connect to the socket ${path}`, { errno: -result })
  return socket
}

function newPty(as: string, receiver?: number): Chosen {
  const master = must('openat', AT_FDCWD, '/dev/ptmx', O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK)
  must('ioctl', master, TIOCSPTLCK, new Uint8Array(4))
  const slave = must('ioctl', master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC)
  return new Chosen({ fd: slave, as, isNew: true }, { master, slave }, receiver)
}

/** Only ptys come to stand on it, not lines of the machine, as for a pty that is handed out. */
const ONLY_PTYS = { kind: 'handed', to: -1 } as const

/**
 * A job of a shell is to come back where there is no terminal: it gets one of its own. With the options for it; undefined where it
 * has one, or needs none.
 */
export function openForJob(
  image: Image,
  images: ImageDirectory,
  options: RestoreOptions,
): { readonly chosen: Chosen; readonly options: RestoreOptions } | undefined {
  if (!options.shellJob || options.tty !== undefined || [0, 1, 2].some(isTerminal)) return undefined
  const NONE = -1
  const asked = { ...options, tty: ONLY_PTYS, terminal: { fd: NONE, as: '', leader: undefined } }
  const pids = new Set(image.tasks.map(({ pid }) => pid))
  const wanting = standIns(images, asked, pid => pids.has(pid)).filter(({ fd }) => fd === NONE)
  if (wanting.every(({ info }) => info.settings === undefined)) return undefined
  log.warn('restore', 'there is no terminal here, so the job gets one of its own, as by --tty new')
  return { chosen: newPty('--shell-job without a terminal'), options: { ...options, tty: ONLY_PTYS } }
}

/** Runtimes ask for a master to be handed out whatever the tree has: with the options for one that has no such pty. */
export function withoutNeed(
  image: Image,
  images: ImageDirectory,
  options: RestoreOptions,
  { standIn }: Chosen,
): { readonly chosen: Chosen; readonly options: RestoreOptions } | undefined {
  if (options.tty?.kind !== 'handed' || standIn === undefined) return undefined
  const pids = new Set(image.tasks.map(({ pid }) => pid))
  const { fd, as } = standIn
  const asked = { ...options, terminal: { fd, as, leader: undefined } }
  if (standIns(images, asked, pid => pids.has(pid)).some(one => one.fd === fd)) return undefined
  return { chosen: new Chosen(), options: { ...options, tty: undefined } }
}

/**
 * A fresh pty has the size of the window that shows it; until one does, that of the image. It belongs to whom the old one belonged:
 * programs open their terminal by its name.
 */
export function prepareNew(fd: number, terminals: readonly Used[], options: RestoreOptions): void {
  const old = (terminals.find(({ info }) => info.type === TtyType.PTY) ?? terminals[0])?.info
  const here = options.detached || options.keepWinsize ? undefined : [0, 1, 2].find(isTerminal)
  const size = here === undefined ? old?.settings?.winsize : readWinsize(here)
  if (size !== undefined) sys('ioctl', fd, TIOCSWINSZ, winsizeBytes(size))
  if (old?.uid !== undefined && old.gid !== undefined && sys('fchown', fd, old.uid, old.gid) < 0)
    log.warn('restore', 'the new terminal cannot be given to the owner of the old one')
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
