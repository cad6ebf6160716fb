// Pairs of ptys: two ends of one terminal, any number of descriptions of the slave, and what is on its way in between.
import { TtyType, type tty_data_entry, type tty_file_entry, type tty_info_entry } from '../../image/messages/tty.ts'
import type { reg_file_entry } from '../../image/messages/regular.ts'
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  EPERM,
  FD_CLOEXEC,
  F_SETFD,
  F_SETFL,
  O_CLOEXEC,
  O_NONBLOCK,
  O_PATH,
  POLLHUP,
  TCSETS2,
  TIOCEXCL,
  TIOCGPGRP,
  TIOCGPKT,
  TIOCGPTLCK,
  TIOCGPTN,
  TIOCGPTPEER,
  TIOCGSID,
  TIOCPKT,
  TIOCSLCKTRMIOS,
  TIOCSPTLCK,
  TIOCSWINSZ,
} from '../../linux/constants.ts'
import { parseStatus } from '../../linux/proc/status.ts'
import { must, OpenFile, readFile, refusal, statOf, sys, type Stat } from '../../linux/sys.ts'
import { log } from '../../base/log.ts'
import type { Slot } from '../../program/program.ts'
import type { Build, FileView, Maker } from '../kind.ts'
import { fdPath, openFlags } from '../fd/path.ts'
import { askNumber, isHungUp, pollFile, readSettings, type Settings } from './device.ts'
import { readQueues } from './drain.ts'
import { said } from './hands.ts'
import { idsOf, infoOf, infosOf, isMaster, sessionOn, type Info } from './info.ts'
import { leaderOutside, masterOutside, refuseTerminal } from './limits.ts'
import { newMaster, OURS } from './pool.ts'
import { inputEntry, isEmpty, NO_INPUT, QUEUE_MAX } from './queue.ts'
import { int, refill, type Queues } from './refill.ts'
import { controlSession } from './session.ts'
import { TERMIOS_SIZE, termiosBytes, winsizeBytes } from './termios.ts'

/** A pair while it is dumped, known by its devpts and its number there. */
type Pair = {
  readonly key: string
  readonly index: number
  readonly devpts: number
  /** The info id of the slave. */
  readonly id: number
  master: FileView | undefined
  slave: FileView | undefined
  /** A copy of the master's descriptor. */
  kept: number
}

function pairOf(view: FileView, devpts: number, index: number, hung = false): Pair {
  const key = `pty ${hung ? 'hung ' : ''}${devpts}:${index}`
  return view.once(key, () => {
    const id = idsOf(view).ofPty(key, index)
    return { key, index, devpts, id, master: undefined, slave: undefined, kept: -1 }
  })
}

/** Opens the slave of a master, with O_PATH only its name: that does nothing to it, and a lock is no hindrance. */
const openPeer = (master: number, flags: number): number => sys('ioctl', master, TIOCGPTPEER, flags)

function statOfPeer(master: number): Stat | undefined {
  const fd = openPeer(master, O_PATH | O_CLOEXEC)
  // In another mount namespace, or where nothing is mounted at /dev/pts.
  if (fd < 0) return undefined
  using peer = new OpenFile(fd)
  const stat = statOf(peer.fd, '', AT_EMPTY_PATH)
  return typeof stat === 'number' ? undefined : stat
}

/** The dump of a master: the pair's entries are made when both ends have been seen. */
export function dumpMaster(view: FileView): number {
  const index = askNumber(view.ours, TIOCGPTN, 0)
  const peer = statOfPeer(view.ours)
  const pair = pairOf(view, peer?.dev ?? view.stat.dev, index)
  pair.master = view
  pair.kept = view.keep()
  view.atEnd(() => saveMaster(pair, view, peer))
  return pair.id + 1
}

/** The dump of a slave that is not named as outside. */
export function dumpSlave(view: FileView, index: number): number {
  const hung = isHungUp(view.ours)
  const pair = pairOf(view, view.stat.dev, index, hung)
  if (pair.slave !== undefined) return pair.id
  pair.slave = view
  // The descriptor itself does not last until then.
  const fd = view.keep()
  view.atEnd(() => saveSlave(pair, view, fd, hung))
  return pair.id
}

function saveMaster(pair: Pair, view: FileView, peer: Stat | undefined): void {
  const fd = pair.kept
  const settings = readSettings(fd)
  const { sid, pgrp } = sessionOf(view, fd)
  const packet = askNumber(fd, TIOCGPKT, 0) !== 0
  const slaves_closed = (pollFile(fd) & POLLHUP) !== 0
  const queues = settings && queuesOf(pair, settings, packet, slaves_closed)
  const master: tty_info_entry = {
    ...infoOf(view, { id: pair.id + 1, type: TtyType.PTY, sid, pgrp }, settings, fd),
    locked: askNumber(fd, TIOCGPTLCK, 0) !== 0,
    packet_mode: packet,
    pty: { index: pair.index },
    devpts: pair.devpts,
    ...(queues !== undefined && queues.status !== 0 && { packet_status: queues.status }),
    ...(queues?.stopped === true && { stopped: true }),
    ...(slaves_closed && { slaves_closed }),
    ...(peer && { slave_uid: peer.uid, slave_gid: peer.gid, slave_mode: peer.mode }),
  }
  view.images.add('TTY_INFO', [], master)
  if (queues === undefined || settings === undefined) return
  const output = { tty_id: master.id, data: queues.output, line_ends: [], eof_ends: [] }
  saveData(view, pair, output)
  if (pair.slave !== undefined) saveData(view, pair, inputEntry(pair.id, queues.input, settings.termios))
  else if (!isEmpty(queues.input))
    log.warn('kinds/tty', `what was typed into pty ${pair.index}, which nobody has open, is not carried over`)
}

/** A terminal that was filled and emptied many times can come to hold more than a new one does. */
function saveData(view: FileView, pair: Pair, entry: tty_data_entry): void {
  const { length } = entry.data
  if (length === 0) return
  if (length > QUEUE_MAX)
    log.warn('kinds/tty', `${length - QUEUE_MAX} bytes of ${length} in pty ${pair.index} are not carried over`)
  view.images.add('TTY_DATA', [], { ...entry, data: entry.data.subarray(0, QUEUE_MAX) })
}

/** A master tells whose terminal it is, to everybody; a slave tells only the session itself. */
function sessionOf(view: FileView, master: number): { readonly sid: number; readonly pgrp: number } {
  const sid = askNumber(master, TIOCGSID, 0)
  if (sid === 0) return { sid, pgrp: 0 }
  if (!view.hasSession(sid) && !view.shellJob) refuseTerminal(view, leaderOutside)
  return { sid, pgrp: askNumber(master, TIOCGPGRP, 0) }
}

/**
 * What is on its way. A slave that nobody has ever opened is left alone: to open it and to close it again would tell the
 * master of a hang-up, where there was none.
 */
function queuesOf(pair: Pair, settings: Settings, packet: boolean, slavesClosed: boolean): Queues | undefined {
  if (pair.slave === undefined && !slavesClosed) return undefined
  const master = pair.kept
  const locked = askNumber(master, TIOCGPTLCK, 0) !== 0
  if (locked) must('ioctl', master, TIOCSPTLCK, int(0))
  try {
    const fd = openPeer(master, OURS | O_NONBLOCK)
    if (fd < 0) throw refusal('ioctl', fd, master, TIOCGPTPEER)
    using slave = new OpenFile(fd)
    return readQueues(master, slave.fd, settings.termios, packet)
  } finally {
    if (locked) must('ioctl', master, TIOCSPTLCK, int(1))
  }
}

function saveSlave(pair: Pair, view: FileView, fd: number, hung: boolean): void {
  const { rdev } = view.stat
  const type = TtyType.PTY
  const more = { pty: { index: pair.index }, devpts: pair.devpts }
  if (hung) {
    view.images.add('TTY_INFO', [], { ...infoOf(view, { id: pair.id, type }, undefined, fd), ...more })
    return
  }
  const session = pair.master === undefined ? sessionOn(view, rdev) : undefined
  if (pair.master === undefined && !view.shellJob) {
    if (session !== undefined && !view.hasSession(session.sid)) refuseTerminal(view, leaderOutside)
    if (!view.options.orphanPtsMaster) refuseTerminal(view, masterOutside)
  }
  const parts =
    pair.master === undefined
      ? { id: pair.id, type, sid: session?.sid ?? 0, pgrp: Math.max(0, session?.tpgid ?? 0) }
      : { id: pair.id, type, sid: askNumber(pair.kept, TIOCGSID, 0), pgrp: askNumber(pair.kept, TIOCGPGRP, 0) }
  view.images.add('TTY_INFO', [], { ...infoOf(view, parts, readSettings(fd), fd), ...more })
}

/** A pair of a restore. */
type Made = { readonly master: Slot<'fd'>; readonly ownerIsSet: boolean }

/** The path of a terminal, which is kept as a file of kind REG beside it. */
export function nameOf(at: Build, file: tty_file_entry): reg_file_entry | undefined {
  const found = file.regf_id === undefined ? undefined : at.fileState(file.regf_id)
  return found?.type === 'REG' ? (found.state as reg_file_entry) : undefined
}

/** The paths of masters, by the id of their info: a pair is made by its path, whichever end is asked for first. */
const masterPaths: Maker<string, ReadonlyMap<number, string>> = {
  name: 'paths of masters',
  make(_, at) {
    const paths = new Map<number, string>()
    if (!at.images.has('FILES')) return paths
    at.images.each('FILES', [], ({ entry }) => {
      const name = entry.tty && nameOf(at, entry.tty)?.name
      if (name !== undefined) paths.set(entry.tty!.tty_info_id, name)
    })
    return paths
  },
}

const pairs: Maker<number, Made> = {
  name: 'pty',
  make(masterId, at) {
    const infos = infosOf(at)
    const info = infos.get(masterId)
    const master = newMaster(at, at.get(masterPaths, 'of the image').get(masterId), info.pty!.index)
    const slaveInfo = infos.peerOf(info)
    at.call('ioctl', master, TIOCSPTLCK, at.memory(int(0)))
    const settings = info.settings!
    const control = info.sid !== 0 && at.hasTask(info.sid)
    const opened = slaveInfo !== undefined || info.slaves_closed === true || control
    if (opened) {
      const slave = at.open('ioctl', master, TIOCGPTPEER, OURS)
      const input = slaveInfo === undefined ? NO_INPUT : infos.inputOf(slaveInfo)
      const queues = {
        input,
        output: infos.outputOf(info),
        status: info.packet_status ?? 0,
        stopped: info.stopped === true,
        packet: info.packet_mode,
      }
      if (isEmpty(input) && queues.output.length === 0 && queues.status === 0 && !queues.stopped)
        setPlain(at, master, settings, info)
      else refill(said(at), master, slave, settings.termios, queues)
      if (control) controlSession(at, info, slave, 0)
    } else setPlain(at, master, settings, info)
    // Through the master, the settings are those of the other end; what is locked can be set no more, so it comes last.
    lock(at, master, settings)
    at.call('ioctl', master, TIOCSWINSZ, at.memory(winsizeBytes(settings.winsize)))
    const ownerIsSet = setOwner(at, master, info)
    // In the way of whoever opens the slave, so when all have.
    at.later('descriptors', late => {
      if (info.exclusive) late.call('ioctl', master, TIOCEXCL)
      if (info.locked) late.call('ioctl', master, TIOCSPTLCK, late.memory(int(1)))
    })
    return { master, ownerIsSet }
  },
}

/** The settings alone, where nothing is on its way. */
function setPlain(at: Build, master: Slot<'fd'>, { termios }: Settings, info: Info): void {
  at.call('ioctl', master, TCSETS2, at.memory(termiosBytes(termios)))
  if (info.packet_mode) at.call('ioctl', master, TIOCPKT, at.memory(int(1)))
}

/** Locks the settings that were locked. Who has no right to that restores the terminal all the same. */
export function lock(at: Build, file: Slot<'fd'>, { locked }: Settings): void {
  const bytes = termiosBytes(locked).subarray(0, TERMIOS_SIZE)
  if (bytes.every(byte => byte === 0)) return
  if (!mayLock()) log.warn('kinds/tty', 'settings of a terminal that were locked are not: that needs CAP_SYS_ADMIN')
  at.attempt([EPERM], 'ioctl', file, TIOCSLCKTRMIOS, at.memory(bytes))
}

const CAP_SYS_ADMIN = 21n
const mayLock = (): boolean =>
  ((parseStatus(readFile(AT_FDCWD, '/proc/self/status')!).capEff >> CAP_SYS_ADMIN) & 1n) === 1n

const MODE_BITS = 0o7777

/** The owner of the slave's device file, where the image of the master tells: also if nobody has the slave open. */
function setOwner(at: Build, master: Slot<'fd'>, { slave_uid, slave_gid, slave_mode }: Info): boolean {
  if (slave_uid === undefined || slave_gid === undefined || slave_mode === undefined) return false
  const peer = at.open('ioctl', master, TIOCGPTPEER, O_PATH | O_CLOEXEC)
  at.attempt([EPERM], 'fchownat', peer, '', slave_uid, slave_gid, AT_EMPTY_PATH)
  at.attempt([EPERM], 'fchmodat', AT_FDCWD, fdPath(peer), slave_mode & MODE_BITS)
  return true
}

/** A master; its description is the only one that a pty can have. */
export function restoreMaster(file: tty_file_entry, info: Info, at: Build): Slot<'fd'> {
  const { master } = at.get(pairs, info.id)
  at.call('fcntl', master, F_SETFL, file.flags & O_NONBLOCK)
  return master
}

/**
 * Opens a slave for the tree. Unlike open, TIOCGPTPEER leaves O_CLOEXEC among the flags of the description: so it is
 * given where the description had it.
 */
function openSlave(at: Build, master: Slot<'fd'>, flags: number): Slot<'fd'> {
  const slave = at.open('ioctl', master, TIOCGPTPEER, (openFlags(flags) & ~O_CLOEXEC) | (flags & O_CLOEXEC))
  at.call('fcntl', slave, F_SETFD, FD_CLOEXEC)
  return slave
}

/** A slave whose master is in the image; undefined if it is not. */
export function restoreSlave(file: tty_file_entry, info: Info, at: Build): Slot<'fd'> | undefined {
  const masterInfo = infosOf(at).peerOf(info)
  if (masterInfo === undefined) return undefined
  const { master, ownerIsSet } = at.get(pairs, masterInfo.id)
  const slave = openSlave(at, master, file.flags)
  if (!ownerIsSet) setOwnerOfCriu(at, slave, file, info)
  if (info.exclusive) at.later('descriptors', late => late.call('ioctl', slave, TIOCEXCL))
  return slave
}

/** In images of CRIU the owner is with the slave, and the mode with its path. */
function setOwnerOfCriu(at: Build, slave: Slot<'fd'>, file: tty_file_entry, { uid, gid }: Info): void {
  const mode = nameOf(at, file)?.mode
  if (uid !== undefined && gid !== undefined) at.attempt([EPERM], 'fchown', slave, uid, gid)
  if (mode !== undefined) at.attempt([EPERM], 'fchmod', slave, mode & MODE_BITS)
}

/**
 * A terminal that was hung up: it reads as ended, and everything else fails. Such is a slave whose master was closed; and
 * this master is closed, as nobody uses it any more.
 */
export function restoreHungUp(file: tty_file_entry, info: Info, at: Build): Slot<'fd'> {
  const master = newMaster(at, undefined, info.pty?.index ?? 0)
  at.call('ioctl', master, TIOCSPTLCK, at.memory(int(0)))
  return openSlave(at, master, file.flags)
}

/** A slave of the image's pty with this number, for who had it open as `/dev/tty`. */
export function openSlaveOn(at: Build, rdev: number, flags: number): Slot<'fd'> | undefined {
  const info = infosOf(at).onDevice(rdev)
  const masterInfo = info && (isMaster(info) ? info : infosOf(at).peerOf(info))
  if (masterInfo === undefined) return undefined
  return openSlave(at, at.get(pairs, masterInfo.id).master, flags)
}
