// Kinds of open files that are not carried over yet: known by name, so that a refusal says what it met.
import { fd_types } from '../../image/messages/files.ts'
import { nameOfValue } from '../../image/words.ts'
import { AF_UNIX, S_IFCHR, S_IFMT, S_IFSOCK } from '../../linux/constants.ts'
import { major, minor, scratch, sys } from '../../linux/sys.ts'
import type { Limit } from '../kind.ts'

type NotYet = {
  readonly type?: Extract<keyof typeof fd_types, string>
  readonly links?: readonly string[]
  readonly name: string
}

const CLOSE = 'close it before the dump'
const ANONYMOUS = 'anon_inode:'

/** Anonymous files that are kinds. */
const CARRIED = ['[eventfd]', '[eventpoll]', '[signalfd]', '[timerfd]'].map(name => ANONYMOUS + name)

/** By CRIU's type, for a restore, and by what the link of /proc/PID/fd/N begins with, for a dump. */
const NOT_YET: readonly NotYet[] = [
  { type: 'INOTIFY', links: ['anon_inode:inotify'], name: 'an inotify descriptor' },
  { type: 'FANOTIFY', links: ['anon_inode:[fanotify]'], name: 'a fanotify descriptor' },
  { type: 'PIDFD', links: ['anon_inode:[pidfd]', 'pidfd:['], name: 'a pidfd' },
  { type: 'BPFMAP', links: ['anon_inode:bpf-map'], name: 'a BPF map' },
  { links: ['anon_inode:bpf'], name: 'a BPF object' },
  { links: ['anon_inode:[io_uring]'], name: 'an io_uring' },
  { links: ['anon_inode:[userfaultfd]'], name: 'a userfaultfd' },
  { links: ['anon_inode:[perf_event]'], name: 'a perf event' },
  { links: [ANONYMOUS], name: 'an anonymous file' },
  { type: 'NS', name: 'a namespace file' },
  { type: 'TUNF', name: 'a TUN or TAP device' },
  { type: 'INETSK', name: 'an internet socket' },
  { type: 'PACKETSK', name: 'a packet socket' },
  { type: 'NETLINKSK', name: 'a netlink socket' },
  { type: 'EXT', name: 'a file that a plugin of CRIU saved' },
]

const NAMESPACE = /^(?:cgroup|ipc|mnt|net|pid|time|user|uts):\[\d+\]$/
const TUN_DEVICE = { major: 10, minor: 200 }
const [SOL_SOCKET, SO_DOMAIN] = [1, 39]
const FAMILIES: Readonly<Record<number, NotYet['type']>> = {
  2: 'INETSK',
  10: 'INETSK',
  16: 'NETLINKSK',
  17: 'PACKETSK',
}

function limitOf(found: NotYet, link = ''): Limit {
  const { type, links = [], name } = found
  const key = (type ?? links[0] ?? name)
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-|-$/g, '')
  const kind = links[0] === ANONYMOUS && link !== '' ? ` of kind ${link.slice(ANONYMOUS.length)}` : ''
  return { id: `not-yet-${key}`, says: `${name}${kind} is not supported yet`, hint: CLOSE }
}

const byType = (type: NotYet['type']): NotYet | undefined =>
  type === undefined ? undefined : NOT_YET.find(known => known.type === type)

/** The family of a socket of ours. */
function familyOf(fd: number): number {
  const mark = scratch.mark()
  const at = scratch.take(8)
  scratch.view.setUint32(at + 4 - scratch.address, 4, true)
  const result = sys('getsockopt', fd, SOL_SOCKET, SO_DOMAIN, at, at + 4)
  const family = result < 0 ? result : scratch.view.getUint32(at - scratch.address, true)
  scratch.release(mark)
  return family
}

/** What tells the kind: of stat, and the link of /proc; `ours` is a descriptor of ours for the file. */
export type OpenedFile = {
  readonly mode: number
  readonly rdev: number
  readonly nlink: number
  readonly link: string
  readonly ours: number
}

/** Why a file cannot be dumped, if it is of a kind that is not carried over. */
export function notYetDumped(file: OpenedFile): Limit | undefined {
  const { mode, link, rdev } = file
  const type = mode & S_IFMT
  if (type === S_IFSOCK && !link.startsWith('/')) {
    const family = familyOf(file.ours)
    if (family === AF_UNIX) return undefined
    return limitOf(byType(FAMILIES[family]) ?? { name: `a socket of family ${family}` })
  }
  if (link.startsWith('/')) {
    if (type === S_IFCHR && major(rdev) === TUN_DEVICE.major && minor(rdev) === TUN_DEVICE.minor)
      return limitOf(byType('TUNF')!)
    return undefined
  }
  if (NAMESPACE.test(link)) return limitOf(byType('NS')!)
  if (CARRIED.includes(link)) return undefined
  const found = NOT_YET.find(known => known.links?.some(start => link.startsWith(start)))
  return found && limitOf(found, link)
}

/** Why a file of the image cannot be restored: its type by name. */
export function notYetRestored(type: number): Limit {
  const name = nameOfValue(fd_types, type)
  return limitOf(byType(name as NotYet['type']) ?? { name: `a file of type ${name ?? type}` })
}

/** All of them, for the list of what is not supported. */
export const notYet: readonly Limit[] = NOT_YET.map(known => limitOf(known))
