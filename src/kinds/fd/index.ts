// The kinds of open files: one line each. The first that matches is it.
import { fd_types } from '../../image/messages/files.ts'
import { O_PATH, S_IFMT } from '../../linux/constants.ts'
import { major } from '../../linux/sys.ts'
import type { FileKind } from '../kind.ts'
import { tty } from '../tty/index.ts'
import { epoll } from './epoll.ts'
import { eventfd } from './eventfd.ts'
import { fifo } from './fifo.ts'
import { memfd } from './memfd.ts'
import { pipe } from './pipe.ts'
import { regular } from './regular.ts'
import { signalfd } from './signalfd.ts'
import { timerfd } from './timerfd.ts'
import { unixSocket } from './unix-socket.ts'

export { notYet, notYetDumped, notYetRestored } from './not-yet.ts'
export { openNamed, regular, stateOfNamed } from './regular.ts'

/** What a kind is recognised by. */
export type Traits = {
  readonly mode: number
  readonly rdev: number
  readonly link: string
  readonly flags: number
  readonly nlink: number
}

/** Kinds by their messages differ in type; the core gives each only states of its own. */
const registry: readonly unknown[] = [pipe, tty, fifo, unixSocket, eventfd, timerfd, signalfd, epoll, memfd, regular]
export const fileKinds = registry as readonly FileKind[]

function matches({ matches: { mode, majors, link, nameless } }: FileKind, file: Traits): boolean {
  if (mode !== undefined && !mode.includes(file.mode & S_IFMT)) return false
  if (majors !== undefined && !majors.includes(major(file.rdev))) return false
  if (nameless === true && file.nlink > 0) return false
  return link === undefined || file.link.startsWith(link)
}

const nameless = memfd as unknown as FileKind

/** The kind of an open file, undefined if it is none that we know. */
export function kindOfFile(file: Traits): FileKind | undefined {
  // O_PATH opens the name only, whatever is behind it: nothing of the kind's own state can be reached.
  if ((file.flags & O_PATH) !== 0 && !matches(nameless, file)) return file.link.startsWith('/') ? regular : undefined
  return fileKinds.find(kind => matches(kind, file))
}

/** The number of a kind's type. */
export const typeOf = (kind: FileKind): number => fd_types[kind.type as Exclude<keyof typeof fd_types, symbol>]

const byType = new Map(fileKinds.map(kind => [typeOf(kind), kind]))

/** The kind that restores files of this type (fd_types). */
export const kindOfType = (type: number): FileKind | undefined => byType.get(type)
