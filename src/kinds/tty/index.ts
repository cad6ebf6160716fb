// Terminals: what kind of terminal a descriptor is of, and who carries it over.
import { BardoError } from '../../base/errors.ts'
import { TtyType, tty_file_entry } from '../../image/messages/tty.ts'
import { S_IFCHR } from '../../linux/constants.ts'
import type { Slot } from '../../program/program.ts'
import { fileKind, type Build, type FileView } from '../kind.ts'
import { dumpCtty, restoreCtty } from './ctty.ts'
import { deviceOf, TTY_MAJORS } from './device.ts'
import { infosOf, isMaster, type Info } from './info.ts'
import { dumpLine, restoreLine } from './line.ts'
import { otherTerminal, refuseTerminal, ttyLimits, ttyLosses } from './limits.ts'
import { chosenFor, dumpOutside, givenFor, jobTerminal, missing, nameOfTerminal, restoreOn } from './outside.ts'
import { dumpMaster, dumpSlave, restoreHungUp, restoreMaster, restoreSlave } from './pty.ts'

/** The id of the terminal's entry. */
function dumpTerminal(view: FileView): number {
  const device = deviceOf(view.stat.rdev)
  if (device === undefined) return refuseTerminal(view, otherTerminal)
  switch (device.is) {
    case 'master':
      return dumpMaster(view)
    case 'slave':
      return dumpSlave(view, device.index)
    case 'ctty':
      return dumpCtty(view)
    default:
      return dumpLine(view, device.is)
  }
}

/** /dev/tty is opened by its session's leader, if that is in the tree, whatever the terminal is now. */
const isOpenCtty = (info: Info): boolean => info.type === TtyType.CTTY && info.settings !== undefined

function restoreTerminal(file: tty_file_entry, at: Build): Slot<'fd'> {
  const info = infosOf(at).get(file.tty_info_id)
  // Whatever it was, the caller may give another terminal for it.
  const given = isMaster(info)
    ? undefined
    : (givenFor(info, at) ?? (isOpenCtty(info) ? undefined : chosenFor(info, at)))
  if (given !== undefined) return restoreOn(given, file, info, at)
  if (info.type === TtyType.EXT_TTY) throw missing(info, at)
  if (isMaster(info)) return restoreMaster(file, info, at)
  if (info.settings === undefined) return restoreHungUp(file, info, at)
  switch (info.type) {
    case TtyType.PTY: {
      const slave = restoreSlave(file, info, at)
      if (slave !== undefined) return slave
      const job = jobTerminal(at)
      if (job === undefined) throw missing(info, at)
      return restoreOn(job, file, info, at)
    }
    case TtyType.CTTY:
      return restoreCtty(file, info, at)
    case TtyType.CONSOLE:
    case TtyType.VT:
    case TtyType.SERIAL:
      return restoreLine(file, info, at)
    default:
      throw new BardoError('bad-image', `terminal ${info.id} is of type ${info.type}, which is none`)
  }
}

export const tty = fileKind({
  name: 'tty',
  type: 'TTY',
  field: 'tty',
  image: tty_file_entry,
  matches: { mode: [S_IFCHR], majors: TTY_MAJORS },
  limits: ttyLimits,
  losses: ttyLosses,
  opensWithFlags: true,
  dump(view) {
    const { rdev, dev } = view.stat
    // The caller's word comes first, whatever the terminal is. A name beside it is for terminals that have one then.
    if (view.isExternal(nameOfTerminal(rdev, dev))) return { tty_info_id: dumpOutside(view) }
    return { tty_info_id: dumpTerminal(view), regf_id: view.saveName() }
  },
  restore: restoreTerminal,
})
