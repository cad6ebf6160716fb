// Consoles, virtual terminals and serial lines: devices of the machine, which are there before and after. They are opened
// again by their path and get the settings that they had.
import { TtyType, type tty_file_entry } from '../../image/messages/tty.ts'
import { F_SETFL, O_NONBLOCK, TCSETS2, TIOCEXCL, TIOCSWINSZ } from '../../linux/constants.ts'
import { BardoError } from '../../base/errors.ts'
import type { Slot } from '../../program/program.ts'
import type { Build, FileView, Maker } from '../kind.ts'
import { openPath, statPath } from '../fd/path.ts'
import { CRIU_INDEX, idsOf, infosOf, realDevice, saveInfo, sessionOn, type Info } from './info.ts'
import { consoleMode, leaderOutside, refuseTerminal } from './limits.ts'
import { ask, askNumber } from './device.ts'
import { jobTerminal, restoreOn } from './outside.ts'
import { lock, nameOf } from './pty.ts'
import { controlSession, FROM_ANOTHER } from './session.ts'
import { termiosBytes, winsizeBytes } from './termios.ts'

const TYPES = { console: TtyType.CONSOLE, vt: TtyType.VT, serial: TtyType.SERIAL } as const
export type Line = keyof typeof TYPES

export function dumpLine(view: FileView, line: Line): number {
  const session = sessionOn(view, realDevice(view))
  if (session !== undefined && !view.hasSession(session.sid) && !view.shellJob) refuseTerminal(view, leaderOutside)
  if (line === 'vt' && hasOwnMode(view.ours)) view.refuse(consoleMode)
  const id = idsOf(view).ofOther(`line ${view.stat.rdev}`, CRIU_INDEX[line])
  return saveInfo(view, { id, type: TYPES[line], sid: session?.sid ?? 0, pgrp: Math.max(0, session?.tpgid ?? 0) })
}

/** linux/kd.h and linux/vt.h: what a display server or an emulator sets. */
const [KDGETMODE, KDGKBMODE, VT_GETMODE] = [0x4b3b, 0x4b44, 0x5601]
const [KD_TEXT, K_XLATE, K_UNICODE, VT_AUTO] = [0, 1, 3, 0]
const VT_MODE_SIZE = 8

/** Whether a program draws on a virtual terminal, takes its keys unprocessed, or is asked when it is left. */
function hasOwnMode(fd: number): boolean {
  const keys = askNumber(fd, KDGKBMODE, K_XLATE)
  const switching = ask(fd, VT_GETMODE, VT_MODE_SIZE)
  return (
    askNumber(fd, KDGETMODE, KD_TEXT) !== KD_TEXT ||
    (keys !== K_XLATE && keys !== K_UNICODE) ||
    (typeof switching !== 'number' && switching[0] !== VT_AUTO)
  )
}

export function restoreLine(file: tty_file_entry, info: Info, at: Build): Slot<'fd'> {
  // A shell's job is restored on the terminal that we are on, be it another kind than the old one.
  if (info.sid !== 0 && !at.hasTask(info.sid)) {
    const job = jobTerminal(at)
    if (job !== undefined) return restoreOn(job, file, info, at)
  }
  const path = nameOf(at, file)?.name
  const stat = path === undefined ? undefined : statPath(at.options.root, path, false)
  if (path === undefined || stat === undefined || typeof stat === 'number' || stat.rdev !== info.rdev) {
    throw new BardoError('usage', `the terminal ${path ?? 'without a name'} is not there`, {
      ...(typeof stat === 'number' && { errno: stat }),
      hint: `give one of your descriptors for it: --inherit-fd 'fd[1]:tty[${info.rdev.toString(16)}:${(info.dev ?? 0).toString(16)}]'`,
    })
  }
  // O_NONBLOCK: a serial line would wait for a carrier.
  const slot = openPath(at, path, file.flags | O_NONBLOCK)
  at.call('fcntl', slot, F_SETFL, file.flags & O_NONBLOCK)
  at.get(settled(slot), info.id)
  return slot
}

/** Once for each line, whatever number of descriptions it has. */
const settled = (file: Slot<'fd'>): Maker<number, true> => ({
  name: 'settings of line',
  make(id, at) {
    const info = infosOf(at).get(id)
    const { settings } = info
    if (settings !== undefined) {
      at.call('ioctl', file, TCSETS2, at.memory(termiosBytes(settings.termios)))
      lock(at, file, settings)
      at.call('ioctl', file, TIOCSWINSZ, at.memory(winsizeBytes(settings.winsize)))
    }
    if (info.sid !== 0 && at.hasTask(info.sid)) controlSession(at, info, file, FROM_ANOTHER)
    if (info.exclusive) at.later('descriptors', late => void late.call('ioctl', file, TIOCEXCL))
    return true
  },
})
