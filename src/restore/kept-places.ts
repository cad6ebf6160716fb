// Where terminals that are kept can be asked for: sockets in a directory of the user alone, named after the pid of the root.
import { BardoError } from '../base/errors.ts'
import { textOf } from '../base/bytes.ts'
import { environment } from '../base/run.ts'
import { AF_UNIX, AT_FDCWD, ENOENT, ESRCH, SOCK_CLOEXEC, SOCK_SEQPACKET } from '../linux/constants.ts'
import { unixAddress } from '../linux/send-file.ts'
import { must, readDirectory, readFile, refusal, statOf, sys } from '../linux/sys.ts'

const [S_IFMT, S_IFDIR] = [0o170000, 0o040000]
const AT_SYMLINK_NOFOLLOW = 0x100
const [EEXIST, ECONNREFUSED] = [17, 111]
const SOCK_NONBLOCK = 0o4000
/** 4109, and 4109.2 where another pid namespace has a process of that number too. */
export const NAME = /^[1-9][0-9]{0,9}(\.[0-9]{1,3})?$/
const NAMESAKES_MAX = 100
const BACKLOG = 16

/** The directory. Throws `refused` where it cannot be, or is not, ours alone. */
export function runtimeDirectory(): string {
  const uid = sys('geteuid')
  const base = environment()['XDG_RUNTIME_DIR'] || (uid === 0 ? '/run' : undefined)
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

/** A connection to who keeps a terminal, or `-errno`. It asks for nothing yet. */
export function connectTo(path: string): number {
  const socket = must('socket', AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)
  const address = unixAddress(path)
  const connected = sys('connect', socket, address, address.length)
  if (connected < 0) sys('close', socket)
  return connected < 0 ? connected : socket
}

/** The terminals that somebody keeps now: names of their sockets. */
export function keptNames(directory: string): string[] {
  return readDirectory(AT_FDCWD, directory).filter(name => {
    if (!NAME.test(name)) return false
    const socket = connectTo(`${directory}/${name}`)
    if (socket >= 0) sys('close', socket)
    return socket >= 0
  })
}

/** `4109 (vim)` for messages; without the program where the pid is of another namespace. */
export function describeKept(name: string): string {
  const comm = name.includes('.') ? undefined : readFile(AT_FDCWD, `/proc/${name}/comm`, [ENOENT, ESRCH])
  return comm === undefined ? name : `${name} (${textOf(comm).trim()})`
}

/** A socket at which the terminal of `root` can be asked for, made before there is a root: `using`, until it is handed on. */
export class Place {
  readonly name: string
  readonly path: string
  readonly listener: number
  #isOurs = true

  constructor(root: number) {
    const directory = runtimeDirectory()
    this.listener = must('socket', AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)
    this.name = bindName(this.listener, directory, root)
    this.path = `${directory}/${this.name}`
    must('listen', this.listener, BACKLOG)
  }

  /** Somebody else answers there, and removes it. */
  handOn(): void {
    this.#isOurs = false
    sys('close', this.listener)
  }

  [Symbol.dispose](): void {
    if (!this.#isOurs) return
    sys('unlinkat', AT_FDCWD, this.path, 0)
    this.handOn()
  }
}

function bindName(listener: number, directory: string, root: number): string {
  for (let number = 1; number < NAMESAKES_MAX; number++) {
    const name = number === 1 ? String(root) : `${root}.${number}`
    const path = `${directory}/${name}`
    const other = connectTo(path)
    if (other >= 0) {
      sys('close', other)
      continue
    }
    // Left behind: nobody answers.
    if (other === -ECONNREFUSED) sys('unlinkat', AT_FDCWD, path, 0)
    const address = unixAddress(path)
    using _ = new Umask(0o077)
    const bound = sys('bind', listener, address, address.length)
    if (bound < 0) throw refusal('bind', bound, listener, path)
    return name
  }
  throw new BardoError('refused', `terminals of ${NAMESAKES_MAX} processes ${root} are kept already`)
}

class Umask {
  readonly #before: number

  constructor(mask: number) {
    this.#before = must('umask', mask)
  }

  [Symbol.dispose](): void {
    must('umask', this.#before)
  }
}

/** The socket of the terminal that `wanted` names, or of the only one: its name, and a connection. */
export function findKept(wanted: string | undefined): { readonly name: string; readonly socket: number } {
  const directory = runtimeDirectory()
  if (wanted !== undefined) {
    const socket = connectTo(`${directory}/${wanted}`)
    if (socket >= 0) return { name: wanted, socket }
    const others = keptNames(directory)
    throw new BardoError('usage', `nobody keeps a terminal of process ${wanted}`, {
      hint:
        others.length === 0
          ? 'only trees that were restored with --tty new have one'
          : `there are: ${others.map(describeKept).join(', ')}`,
    })
  }
  const names = keptNames(directory)
  if (names.length === 0)
    throw new BardoError('usage', 'no terminal is kept', { hint: 'restore a tree with --tty new' })
  if (names.length > 1)
    throw new BardoError('usage', 'several terminals are kept', {
      why: names.map(describeKept).join(', '),
      hint: `say which: bardo attach ${names[0]}`,
    })
  const socket = connectTo(`${directory}/${names[0]}`)
  if (socket < 0) throw new BardoError('lost', `who kept the terminal of process ${names[0]} has just ended`)
  return { name: names[0]!, socket }
}
