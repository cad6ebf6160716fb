// The entry of a terminal in tty-info.img: what it is, its settings, whose session it controls.
import { BardoError } from '../../base/errors.ts'
import { TtyType, type tty_data_entry, type tty_info_entry } from '../../image/messages/tty.ts'
import { TIOCGDEV, TIOCGETD, TIOCGEXCL } from '../../linux/constants.ts'
import type { FileView, Maker, TaskSession } from '../kind.ts'
import { askNumber, readSettings, type Settings } from './device.ts'
import { lineDiscipline } from './limits.ts'
import { inputOfEntry, NO_INPUT, QUEUE_MAX, type Input } from './queue.ts'
import { termiosEntry, termiosOfEntry, type Termios } from './termios.ts'

/** Indexes that CRIU gives terminals without a number of their own; an info's id is twice that, and one more for a master. */
export const CRIU_INDEX = { console: 1002, vt: 1004, ctty: 1006, serial: 1010 } as const
/** CRIU refuses ids above; between its own indexes and this nothing is used. */
const [SPARE_FIRST, SPARE_LAST] = [1077, 1087]
/** Of terminals outside: 64 of them. */
export const [OUTSIDE_FIRST, OUTSIDE_LAST] = [1013, 1076]
const PTY_INDEX_MAX = 1000
/** Where CRIU has no way to tell two terminals apart, it shall not mistake one for the other: it refuses such an id. */
const BEYOND_CRIU = 1 << 20

/** Gives the terminals of one dump their ids. */
export class InfoIds {
  readonly #ids = new Map<string, number>()
  readonly #taken = new Set<number>()
  #beyond = BEYOND_CRIU

  /** The id of a pty's slave; its master has the next one. */
  ofPty(key: string, index: number): number {
    return this.#idOf(key, () => (index <= PTY_INDEX_MAX ? 2 * index : undefined))
  }

  /** The id of another terminal; `first` is the index that CRIU would give it. */
  ofOther(key: string, first: number): number {
    return this.#idOf(key, () => {
      if (!this.#taken.has(2 * first)) return 2 * first
      for (let spare = SPARE_FIRST; spare <= SPARE_LAST; spare++) if (!this.#taken.has(2 * spare)) return 2 * spare
      return undefined
    })
  }

  #idOf(key: string, wish: () => number | undefined): number {
    const known = this.#ids.get(key)
    if (known !== undefined) return known
    const wished = wish()
    const id = wished === undefined || this.#taken.has(wished) ? (this.#beyond += 2) : wished
    this.#ids.set(key, id)
    this.#taken.add(id)
    return id
  }
}

export const idsOf = (view: FileView): InfoIds => view.once('ids of terminals', () => new InfoIds())

/** The session of a task of the tree that this terminal controls; `rdev` is the terminal's own (TIOCGDEV). */
export const sessionOn = (view: FileView, rdev: number): TaskSession | undefined =>
  view.sessions.find(({ tty_nr }) => tty_nr === rdev)

/** The device number of the terminal itself, whatever it was opened as: `/dev/tty`, `/dev/console`. */
export const realDevice = (view: FileView): number => askNumber(view.ours, TIOCGDEV, view.stat.rdev)

export type InfoParts = {
  readonly id: number
  readonly type: number
  readonly sid?: number
  readonly pgrp?: number
}

/** What every terminal's entry has. `settings` are undefined for one that was hung up; `fd` is of the same terminal. */
export function infoOf(
  view: FileView,
  parts: InfoParts,
  settings: Settings | undefined,
  fd = view.ours,
): tty_info_entry {
  const { rdev, dev, uid, gid } = view.stat
  if (settings !== undefined && askNumber(fd, TIOCGETD, 0) !== 0) view.refuse(lineDiscipline)
  return {
    id: parts.id,
    type: parts.type,
    locked: false,
    exclusive: settings !== undefined && askNumber(fd, TIOCGEXCL, 0) !== 0,
    packet_mode: false,
    sid: parts.sid ?? 0,
    pgrp: parts.pgrp ?? 0,
    rdev,
    dev,
    uid,
    gid,
    ...(settings && {
      termios: termiosEntry(settings.termios),
      termios_locked: termiosEntry(settings.locked),
      winsize: settings.winsize,
    }),
  }
}

/** Adds the entry of a terminal that has no other end in the tree, once for all descriptions of it. */
export function saveInfo(view: FileView, parts: InfoParts, more: Partial<tty_info_entry> = {}): number {
  return view.once(`terminal ${parts.id}`, () => {
    view.images.add('TTY_INFO', [], { ...infoOf(view, parts, readSettings(view.ours)), ...more })
    return parts.id
  })
}

/** A terminal of an image, its settings checked; undefined for one that was hung up. */
export type Info = tty_info_entry & { readonly settings: Settings | undefined }

/** All terminals of an image. */
export class Infos {
  readonly #infos = new Map<number, Info>()
  readonly #data = new Map<number, tty_data_entry>()

  constructor(entries: readonly tty_info_entry[], data: readonly tty_data_entry[]) {
    for (const entry of entries) this.#infos.set(entry.id, { ...entry, settings: settingsOf(entry) })
    for (const entry of data) {
      if (entry.data.length > QUEUE_MAX)
        throw new BardoError(
          'bad-image',
          `terminal ${entry.tty_id} cannot have ${entry.data.length} bytes that were not read`,
        )
      this.#data.set(entry.tty_id, entry)
    }
  }

  get(id: number): Info {
    const info = this.#infos.get(id)
    if (info !== undefined) return info
    throw new BardoError('bad-image', `tty-info.img has no terminal ${id}`)
  }

  get all(): Iterable<Info> {
    return this.#infos.values()
  }

  /** The other end of a pty, if the image has it. CRIU has no field for the devpts, and only one of them. */
  peerOf(info: Info): Info | undefined {
    if (info.pty === undefined) return undefined
    for (const other of this.#infos.values())
      if (
        other.pty?.index === info.pty.index &&
        isMaster(other) !== isMaster(info) &&
        other.settings !== undefined &&
        (other.devpts === undefined || info.devpts === undefined || other.devpts === info.devpts)
      )
        return other
    return undefined
  }

  /** A terminal by its device number. */
  onDevice(rdev: number): Info | undefined {
    for (const info of this.#infos.values()) if (info.rdev === rdev && info.settings !== undefined) return info
    return undefined
  }

  /** What was typed for a terminal. */
  inputOf(info: Info): Input {
    const entry = this.#data.get(info.id)
    return entry === undefined || info.settings === undefined ? NO_INPUT : inputOfEntry(entry, info.settings.termios)
  }

  /** What a master had not read. */
  outputOf(master: Info): Uint8Array {
    return this.#data.get(master.id)?.data ?? new Uint8Array()
  }
}

/** The odd ones are masters, in CRIU's images and in ours. */
export const isMaster = ({ id, type }: tty_info_entry): boolean => type === TtyType.PTY && (id & 1) === 1

function settingsOf(entry: tty_info_entry): Settings | undefined {
  const { id, type, pty, termios, termios_locked, winsize } = entry
  if ((type === TtyType.PTY) !== (pty !== undefined))
    throw new BardoError(
      'bad-image',
      `terminal ${id} of type ${type} has ${pty === undefined ? 'no' : 'a'} number of a pty`,
    )
  if (termios === undefined && termios_locked === undefined && winsize === undefined) return undefined
  const settings = termios && termiosOfEntry(termios)
  const locked = termios_locked && termiosOfEntry(termios_locked)
  if (settings === undefined || locked === undefined || winsize === undefined)
    throw new BardoError('bad-image', `terminal ${id} has some of its settings only`)
  return { termios: withSpeed(settings), locked, winsize }
}

const [CBAUD, BOTHER, USUAL_SPEED] = [0o10017, 0o10000, 38400]

/** CRIU does not save speeds; where c_cflag does not tell them either, they are what a new terminal has. */
const withSpeed = (termios: Termios): Termios =>
  termios.c_ospeed === 0 && (termios.c_cflag & CBAUD) === BOTHER
    ? { ...termios, c_ispeed: USUAL_SPEED, c_ospeed: USUAL_SPEED }
    : termios

const infos: Maker<string, Infos> = {
  name: 'terminals',
  make: (_, at) => new Infos(at.images.readAny('TTY_INFO'), at.images.readAny('TTY_DATA')),
}

export const infosOf = (at: Parameters<Maker<string, Infos>['make']>[1]): Infos => at.get(infos, 'of the image')
