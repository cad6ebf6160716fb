// Who holds the fresh pty of `restore --tty new`: first the restore itself, which shows it here; then, when that is left, a small
// process that holds on to the master, lets nothing pile up in it, and lends it to `bardo attach`.
import { BardoError } from '../base/errors.ts'
import { readSome } from '../kinds/tty/device.ts'
import {
  AF_UNIX,
  AT_FDCWD,
  EAGAIN,
  EINTR,
  POLLIN,
  SIGCHLD,
  SIGHUP,
  SIGWINCH,
  SOCK_CLOEXEC,
  SOCK_SEQPACKET,
} from '../linux/constants.ts'
import { poll } from '../linux/poll.ts'
import { peerUid, receiveFile, sendFile, unixAddress } from '../linux/send-file.ts'
import { SIG_IGN, SignalPipe, setAction } from '../linux/signal-pipe.ts'
import { must, OpenFile, readDirectory, statOf, sys } from '../linux/sys.ts'
import { changeOf, Foreground, FORWARDED } from './foreground.ts'
import { openOwnTerminal, showTerminal } from './show.ts'

const [S_IFMT, S_IFDIR] = [0o170000, 0o040000]
const AT_SYMLINK_NOFOLLOW = 0x100
const EEXIST = 17
const PIECE = 64 << 10
/** What the keeper says to who shows the terminal before it is shown elsewhere. */
const TAKEN = 't'
const PAUSE_ms = 50

/** Where the sockets of keepers are: a directory of the user alone. Throws `refused` where it is not. */
export function runtimeDirectory(): string {
  const uid = sys('geteuid')
  const base = Bun.env['XDG_RUNTIME_DIR'] || (uid === 0 ? '/run' : undefined)
  if (base === undefined || !base.startsWith('/'))
    throw new BardoError('refused', 'there is no private directory for the socket of a terminal', {
      why: 'XDG_RUNTIME_DIR is not set',
      hint: 'set it to a directory of yours, or stay on the terminal',
    })
  const path = `${base}/bardo`
  const made = sys('mkdirat', AT_FDCWD, path, 0o700)
  const stat = statOf(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW)
  if (typeof stat === 'number')
    throw new BardoError('refused', `cannot make the directory ${path}`, {
      errno: made < 0 && made !== -EEXIST ? -made : -stat,
    })
  if ((stat.mode & S_IFMT) !== S_IFDIR || stat.uid !== uid || (stat.mode & 0o077) !== 0)
    throw new BardoError('refused', `${path} is not a directory of ours alone`, { hint: `chmod 700 it, or remove it` })
  return path
}

/** The descriptors of a keeper. */
const [MASTER, LISTENER] = [3, 4]

/** A socket at which the terminal of `root` can be asked for: from here on `attach` finds it, and waits for the keeper. */
function listenFor(root: number): number {
  const path = `${runtimeDirectory()}/${root}`
  // One that is there was left behind: its process, which had this pid, is gone.
  sys('unlinkat', AT_FDCWD, path, 0)
  const listener = must('socket', AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)
  const address = unixAddress(path)
  const umask = must('umask', 0o077)
  must('bind', listener, address, address.length)
  must('umask', umask)
  must('listen', listener, 4)
  return listener
}

/** Starts ourselves anew as the keeper, in a session of its own. */
function startKeeper(master: number, root: number): void {
  const listener = listenFor(root)
  // A terminal that goes away tells all of its foreground group, which the new process is in until it leaves the session.
  setAction(SIGHUP, SIG_IGN)
  const inside = Bun.main.startsWith('/$bunfs/')
  const program = inside ? [process.execPath] : [process.execPath, '--no-env-file', '--config=/dev/null', Bun.main]
  Bun.spawn([...program, '--keep-terminal', String(root)], {
    stdio: ['ignore', 'ignore', 'ignore', master, listener],
    detached: true,
    cwd: '/',
  }).unref()
}

/** Shows the terminal of `root`, our child, until it ends or the user leaves it; then a keeper holds it. The status. */
export function keepHere(master: number, root: number, detached: boolean): number {
  const own = detached ? undefined : openOwnTerminal()
  if (own === undefined) {
    startKeeper(master, root)
    if (detached) return 0
    using waiting = new Foreground([])
    return waiting.wait(root, true)
  }
  using signals = new SignalPipe([...FORWARDED, SIGCHLD, SIGWINCH])
  using ended = new OpenFile(must('pidfd_open', root, 0))
  const shown = showTerminal(master, own, ended.fd, signals, signo => {
    if (signo !== SIGCHLD) sys('kill', root, signo)
    return false
  })
  if (shown === 'ended') {
    for (;;) {
      const { status } = changeOf(root)
      if (status !== undefined) return status
      poll([], 1)
    }
  }
  startKeeper(master, root)
  if (shown === 'detached') say(own, `\r\n[left process ${root} running; show it again: bardo attach ${root}]\r\n`)
  return 0
}

function say(fd: number, text: string): void {
  sys('write', fd, text, text.length)
}

/** The keeper's whole life: `--keep-terminal ROOT`, with the master and the listening socket as descriptors 3 and 4. */
export function keepTerminal(root: number): number {
  setAction(SIGHUP, SIG_IGN)
  const path = `${runtimeDirectory()}/${root}`
  const ended = sys('pidfd_open', root, 0)
  if (ended < 0) {
    sys('unlinkat', AT_FDCWD, path, 0)
    return 0
  }
  let guest = -1
  let paused = false
  for (;;) {
    // While a guest shows the terminal, what is said goes there.
    const [said, called, left, over] = poll(
      [
        { fd: guest < 0 && !paused ? MASTER : -1, events: POLLIN },
        { fd: LISTENER, events: POLLIN },
        { fd: guest, events: POLLIN },
        { fd: ended, events: POLLIN },
      ],
      paused ? PAUSE_ms : -1,
    ) as [number, number, number, number]
    paused = false
    if (said !== 0) {
      const piece = readSome(MASTER, PIECE)
      paused = typeof piece === 'number' && piece !== -EAGAIN && piece !== -EINTR
    }
    if (left !== 0) {
      sys('close', guest)
      guest = -1
    }
    if (called !== 0) {
      const caller = sys('accept4', LISTENER, 0, 0, SOCK_CLOEXEC)
      if (caller >= 0 && isOurs(caller)) {
        // Who comes later takes it over: the one before may be in a window that is out of reach.
        if (guest >= 0) {
          sys('write', guest, TAKEN, 1)
          sys('close', guest)
        }
        guest = caller
        sendFile(guest, MASTER)
      } else if (caller >= 0) sys('close', caller)
    }
    if (over !== 0) {
      sys('unlinkat', AT_FDCWD, path, 0)
      return 0
    }
  }
}

/** The directory keeps others out; who has its path in another way is asked for. */
function isOurs(socket: number): boolean {
  const uid = peerUid(socket)
  return uid === 0 || uid === sys('geteuid')
}

/** Shows the terminal of `root` here, or of the only one that is kept. The status. */
export function attachTerminal(wanted: string | undefined): number {
  const directory = runtimeDirectory()
  const root = wanted ?? onlyOne(directory)
  const own = openOwnTerminal()
  if (own === undefined) throw new BardoError('usage', 'there is no terminal here to show it on')
  using socket = new OpenFile(must('socket', AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0))
  const address = unixAddress(`${directory}/${root}`)
  const connected = sys('connect', socket.fd, address, address.length)
  if (connected < 0)
    throw new BardoError('usage', `nobody keeps a terminal of process ${root}`, {
      errno: -connected,
      hint: 'bardo attach without a number tells which there are',
    })
  const master = receiveFile(socket.fd)
  using signals = new SignalPipe([SIGHUP, SIGWINCH, ...FORWARDED.filter(signal => signal !== SIGHUP)])
  // The keeper closes the line when all has ended, or when another terminal has taken over.
  const shown = showTerminal(master, own, socket.fd, signals, () => true)
  if (shown === 'detached') say(own, `\r\n[left process ${root} running; show it again: bardo attach ${root}]\r\n`)
  else if (shown === 'ended')
    say(own, `\r\n[process ${root} ${saysTaken(socket.fd) ? 'is shown elsewhere now' : 'has ended'}]\r\n`)
  return 0
}

function saysTaken(socket: number): boolean {
  const word = readSome(socket, 1)
  return typeof word !== 'number' && word.length === 1
}

function onlyOne(directory: string): string {
  const kept = readDirectory(AT_FDCWD, directory).filter(
    name => /^[0-9]+$/.test(name) && sys('kill', Number(name), 0) === 0,
  )
  if (kept.length === 1) return kept[0]!
  if (kept.length === 0) throw new BardoError('usage', 'no terminal is kept', { hint: 'restore a tree with --tty new' })
  throw new BardoError('usage', 'several terminals are kept', {
    hint: `say which: ${kept.map(pid => `bardo attach ${pid}`).join(', ')}`,
  })
}
