// Terminals that stay outside: named by the caller, or a shell's, whose job the tree is. A dump saves their settings; in a
// restore a terminal of ours stands for them, whatever that is, and it keeps its own window size.
import { BardoError } from '../../base/errors.ts'
import { externalKey, type External, type RestoreOptions, type StandIn } from '../../base/options.ts'
import { log } from '../../base/log.ts'
import type { ImageDirectory } from '../../image/directory.ts'
import { TtyType, type tty_file_entry, type tty_info_entry } from '../../image/messages/tty.ts'
import {
  AT_FDCWD,
  F_DUPFD_CLOEXEC,
  F_SETFL,
  O_NONBLOCK,
  TCSETS2,
  TIOCGPGRP,
  TIOCGPTN,
  TIOCGSID,
  TIOCSWINSZ,
} from '../../linux/constants.ts'
import { OpenFile, sys } from '../../linux/sys.ts'
import type { Slot } from '../../program/program.ts'
import type { Build, FileView, Maker } from '../kind.ts'
import { openFlags } from '../fd/path.ts'
import { ask, askNumber, isTerminal } from './device.ts'
import {
  idsOf,
  Infos,
  infosOf,
  isMaster,
  OUTSIDE_FIRST,
  OUTSIDE_LAST,
  realDevice,
  saveInfo,
  sessionOn,
  type Info,
} from './info.ts'
import { lock } from './pty.ts'
import { controlSession, foreground, FROM_ANOTHER } from './session.ts'
import { termiosBytes, winsizeBytes } from './termios.ts'

export const nameOfTerminal = (rdev: number, dev: number): External => ({ kind: 'tty', rdev, dev })

/** The dump of a terminal that is named as outside. */
export function dumpOutside(view: FileView): number {
  const { rdev, dev } = view.stat
  const ids = idsOf(view)
  const id = ids.ofOther(`outside ${rdev}:${dev}`, nextIndex(view, rdev, dev))
  const session = sessionOn(view, realDevice(view))
  // CRIU looks for the leader of every session that it finds in an image. One outside is no business of a restore.
  const inTree = session !== undefined && view.hasSession(session.sid)
  return saveInfo(view, {
    id,
    type: TtyType.EXT_TTY,
    ...(inTree && { sid: session.sid, pgrp: Math.max(0, session.tpgid) }),
  })
}

/** CRIU gives each terminal outside the next index. */
function nextIndex(view: FileView, rdev: number, dev: number): number {
  const known = view.once('terminals outside', () => new Map<string, number>())
  const key = externalKey(nameOfTerminal(rdev, dev))
  const index = known.get(key) ?? Math.min(OUTSIDE_FIRST + known.size, OUTSIDE_LAST)
  known.set(key, index)
  return index
}

/** What the choice of a terminal needs of a restore. */
type Choice = Pick<Build, 'inheritedAll' | 'options'>
type Given = Pick<StandIn, 'fd' | 'as'>

/** The terminal that the caller gave for this one. */
export function givenFor(info: tty_info_entry, at: Choice): Given | undefined {
  const key = externalKey(nameOfTerminal(info.rdev, info.dev ?? 0))
  const found = at.inheritedAll.find(one => one.key === key)
  return found?.fd === undefined ? undefined : checked({ fd: found.fd, as: `--inherit-fd 'fd[${found.fd}]:${key}'` })
}

/** The terminal that the caller chose for all that come from outside (`--tty`), if this is one. */
export function chosenFor(info: Info, at: Build): Given | undefined {
  const { terminal } = at.options
  return terminal !== undefined && isOutside(info, infosOf(at)) && !isSpared(info, at.options) ? terminal : undefined
}

/** A pty that is handed out stands only for ptys, and for /dev/tty, which is one of them then. */
const isSpared = (info: Info, { tty }: RestoreOptions): boolean =>
  tty?.kind === 'handed' && info.type !== TtyType.PTY && info.type !== TtyType.CTTY

/** Whether nothing of the image makes it: lines are of the machine, and who showed a pty has stayed there or has gone. */
function isOutside(info: Info, infos: Infos): boolean {
  if (isMaster(info)) return false
  if (info.type === TtyType.PTY) return info.settings === undefined || infos.peerOf(info) === undefined
  if (info.type !== TtyType.CTTY || info.real_rdev === undefined) return true
  const real = infos.onDevice(info.real_rdev)
  return real === undefined || (!isMaster(real) && infos.peerOf(real) === undefined)
}

/** The terminals of the image that terminals of ours stand for, as `restore` chooses them. */
export function standIns(
  images: ImageDirectory,
  options: RestoreOptions,
  hasTask: (pid: number) => boolean,
): { readonly fd: number; readonly info: Info }[] {
  const infos = new Infos(images.readAny('TTY_INFO'), [])
  const at = { inheritedAll: options.inherited, options }
  const found: { fd: number; info: Info }[] = []
  for (const info of infos.all) {
    if (isMaster(info)) continue
    const isLine = info.type !== TtyType.PTY && info.type !== TtyType.CTTY
    const isJob = info.settings !== undefined && (!isLine || (info.sid !== 0 && !hasTask(info.sid)))
    const outside = isOutside(info, infos) && !(options.terminal !== undefined && isSpared(info, options))
    const given =
      givenFor(realOf(info), at) ??
      (outside
        ? (options.terminal ?? (isJob && info.type !== TtyType.EXT_TTY ? jobTerminal(at) : undefined))
        : undefined)
    if (given !== undefined) found.push({ fd: given.fd, info })
  }
  return found
}

/** The terminal that a shell's job is restored on: ours. Undefined without `--shell-job`. */
export function jobTerminal(at: Choice): Given | undefined {
  if (!at.options.shellJob) return undefined
  const fd = [0, 1, 2].find(one => isTerminal(one))
  if (fd !== undefined) return checked({ fd, as: `--shell-job with descriptor ${fd}` })
  throw new BardoError('usage', 'there is no terminal to restore the job on', {
    why: '--shell-job puts it on the terminal of standard input, output or error, and none of them is one',
    hint: 'run it on a terminal, or give it one: --tty new (shown by bardo attach), or --tty /dev/pts/N',
  })
}

function checked(given: Given): Given {
  const { fd, as } = given
  if (!isTerminal(fd)) {
    throw new BardoError('usage', `${as}: descriptor ${fd} is not an open terminal`, {
      hint: 'give the number of a descriptor that is open on a terminal, such as 1',
    })
  }
  if (typeof ask(fd, TIOCGPTN, 4) === 'number') return given
  throw new BardoError('usage', `${as}: descriptor ${fd} is the master of a pty`, {
    why: 'a terminal is its other end',
    hint: 'give a descriptor of the slave, /dev/pts/N',
  })
}

const keyOf = (info: tty_info_entry): string => externalKey(nameOfTerminal(info.rdev, info.dev ?? 0))

/** The terminal behind `/dev/tty`; any other is what it is. */
export const realOf = (info: Info): Info => ({
  ...info,
  rdev: info.real_rdev ?? info.rdev,
  dev: info.real_dev ?? info.dev,
})

const missingOnce: Maker<number, BardoError> = {
  name: 'absence of terminal',
  make(id, at) {
    const info = infosOf(at).get(id)
    const key = keyOf(realOf(info))
    const isJob = info.type !== TtyType.EXT_TTY
    return new BardoError('usage', `no terminal is given for ${key}`, {
      why: isJob ? 'its other end was not in the tree' : 'it was outside the tree when that was dumped',
      hint: `give one of your descriptors: --inherit-fd 'fd[1]:${key}'${isJob ? ', or the terminal that you are on: --shell-job (-j)' : ''}`,
    })
  },
}

/** What the caller has to add for a terminal that nothing stands for: one error, whatever number of files it has. */
export const missing = (info: Info, at: Build): BardoError => at.get(missingOnce, info.id)

/** Terminals of ours that stand for none of the image: a slip, and what should have been said. */
export function givenForNone(images: ImageDirectory, { inherited }: RestoreOptions): BardoError[] {
  const given = inherited.filter(({ resource }) => resource.kind === 'tty')
  if (given.length === 0) return []
  const infos = new Infos(images.readAny('TTY_INFO'), [])
  const all = [...infos.all].filter(info => !isMaster(info))
  // Any terminal may be replaced, but those that have to be are what can have been meant.
  const known = new Set(all.flatMap(info => [keyOf(info), keyOf(realOf(info))]))
  const outside = new Set(all.filter(info => isOutside(info, infos)).map(info => keyOf(realOf(info))))
  const unmatched = given.filter(({ key }) => !known.has(key))
  const open = [...outside].filter(key => !given.some(one => one.key === key))
  return unmatched.map(
    ({ fd, key }) =>
      new BardoError('usage', `--inherit-fd 'fd[${fd}]:${key}' is for a terminal that the image does not have`, {
        why:
          outside.size === 0
            ? 'it has none from outside'
            : `from outside it has ${[...outside].join(', ')}${open.length === 0 ? ', all given' : ''}`,
        hint: open.length === 0 ? 'leave it out' : open.map(one => `--inherit-fd 'fd[${fd}]:${one}'`).join(' or '),
      }),
  )
}

/** A description of its own of a terminal of ours, with settings and session as they were. */
export function restoreOn(given: Given, file: tty_file_entry, info: Info, at: Build): Slot<'fd'> {
  const slot = openGiven(given, file.flags, at)
  at.get(settled(given, slot), info.id)
  return slot
}

/** Opens anew what `given.fd` is open on: status flags are the description's, and ours are the shell's too. */
export function openGiven({ fd, as }: Given, flags: number, at: Build): Slot<'fd'> {
  const path = `/proc/self/fd/${fd}`
  // Asked now, as a program cannot ask: a terminal may belong to another user (su, sudo).
  const tried = sys('openat', AT_FDCWD, path, openFlags(flags | O_NONBLOCK))
  if (tried >= 0) {
    using _ = new OpenFile(tried)
    return at.open('openat', AT_FDCWD, path, openFlags(flags), 0)
  }
  log.warn('kinds/tty', `${as} cannot be opened again, so its status flags are shared`)
  const copy = at.open('fcntl', fd, F_DUPFD_CLOEXEC, 0)
  at.call('fcntl', copy, F_SETFL, flags & O_NONBLOCK)
  return copy
}

/** Once for each terminal, whatever number of descriptions it has. */
const settled = (given: Given, file: Slot<'fd'>): Maker<number, true> => ({
  name: 'settings of terminal',
  make(id, at) {
    const info = infosOf(at).get(id)
    const { settings } = info
    const { terminal } = at.options
    const ours = terminal?.fd === given.fd ? terminal.leader : undefined
    const leader = info.sid !== 0 && at.hasTask(info.sid) ? info.sid : ours
    const isBackground = leader === undefined && isElsewhere(given)
    // Last of all: until then a restore that fails has changed nothing that is ours. Nor is it changed under the hands of who has it
    // in the foreground: when the job gets there, it gets its settings.
    if (settings !== undefined && !isBackground)
      at.later('go', late => {
        late.call('ioctl', file, TCSETS2, late.memory(termiosBytes(settings.termios)))
        if (at.options.keepWinsize) late.call('ioctl', file, TIOCSWINSZ, late.memory(winsizeBytes(settings.winsize)))
        lock(late, file, settings)
      })
    if (leader !== undefined) {
      const own = leader === info.sid ? info : { ...info, sid: leader, pgrp: at.hasTask(info.pgrp) ? info.pgrp : 0 }
      const owner = at.get(taken(given, own, file), given.fd)
      if (owner !== leader)
        log.warn('kinds/tty', `${given.as} controls session ${owner}, so session ${leader} is left without a terminal`)
    } else if (isBackground) log.warn('kinds/tty', `${given.as}: the job is restored in the background`)
    else if (at.hasTask(info.pgrp)) foreground(at, file, info.pgrp)
    else showRoot(at, file)
    return true
  },
})

/** Several terminals of the image may have become one, which the first session that had one of them gets. */
const taken = (given: Given, info: Info, file: Slot<'fd'>): Maker<number, number> => ({
  name: 'owner of our terminal',
  make(_, at) {
    warnOfOwner(given)
    controlSession(at, info, file, FROM_ANOTHER)
    return info.sid
  },
})

/** Whether we are a job in the background ourselves, who must not take the terminal from another one. */
function isElsewhere({ fd }: Given): boolean {
  const shown = ask(fd, TIOCGPGRP, 4)
  if (typeof shown === 'number') return false
  const pgrp = new DataView(shown.buffer).getInt32(0, true)
  return pgrp > 0 && pgrp !== sys('getpgid', 0)
}

/** A terminal controls one session. What the image says goes, as with CRIU; but who loses it shall be told. */
function warnOfOwner({ fd, as }: Given): void {
  const sid = askNumber(fd, TIOCGSID, 0)
  if (sid === 0) return
  log.warn('kinds/tty', `${as} is the controlling terminal of our own session ${sid}, which loses it to a restored one`)
}

/** A job that was in the background comes back in the foreground: its root's group, if that is its own. */
function showRoot(at: Build, file: Slot<'fd'>): void {
  if (!at.options.shellJob) return
  const [root] = at.images.readAny('PSTREE')
  if (root !== undefined && !at.hasTask(root.sid) && at.hasTask(root.pgid)) foreground(at, file, root.pgid)
}
