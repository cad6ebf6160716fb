// /dev/tty: the controlling terminal of whoever opens it. A descriptor of it is one of that terminal, under another name.
import { TtyType, type tty_file_entry } from '../../image/messages/tty.ts'
import { AT_FDCWD, O_NONBLOCK } from '../../linux/constants.ts'
import { OpenFile, sys } from '../../linux/sys.ts'
import type { Slot } from '../../program/program.ts'
import type { Build, FileView } from '../kind.ts'
import { openFlags } from '../fd/path.ts'
import { isHungUp } from './device.ts'
import { CRIU_INDEX, idsOf, realDevice, saveInfo, sessionOn, type Info } from './info.ts'
import { leaderOutside, refuseTerminal } from './limits.ts'
import { chosenFor, givenFor, jobTerminal, missing, openGiven, realOf, restoreOn } from './outside.ts'
import { nameOf, openSlaveOn } from './pty.ts'

const DEV_TTY = '/dev/tty'

/** The terminal that the caller named as outside, if it is the one behind this descriptor. */
const namedOutside = (view: FileView, real_rdev: number): { readonly dev: number } | undefined =>
  view.options.externals.find(one => one.kind === 'tty' && one.rdev === real_rdev && view.isExternal(one)) as
    | { dev: number }
    | undefined

export function dumpCtty(view: FileView): number {
  const hung = isHungUp(view.ours)
  const real_rdev = hung ? 0 : realDevice(view)
  const session = hung ? undefined : sessionOn(view, real_rdev)
  const outside = namedOutside(view, real_rdev)
  if (session !== undefined && !view.hasSession(session.sid) && !view.shellJob && outside === undefined)
    refuseTerminal(view, leaderOutside)
  const id = idsOf(view).ofOther(`ctty ${session?.sid ?? 0} ${real_rdev}`, CRIU_INDEX.ctty)
  const parts = { id, type: TtyType.CTTY, sid: session?.sid ?? 0, pgrp: Math.max(0, session?.tpgid ?? 0) }
  return saveInfo(view, parts, { real_rdev, ...(outside && { real_dev: outside.dev }) })
}

export function restoreCtty(file: tty_file_entry, info: Info, at: Build): Slot<'fd'> {
  const path = nameOf(at, file)?.name ?? DEV_TTY
  // Opened by the session's leader, when it has the terminal: then it is what it was, under its own name.
  if (info.sid !== 0 && at.hasTask(info.sid))
    return at.openInTask(info.sid, 'terminals', 'openat', AT_FDCWD, path, openFlags(file.flags), 0)
  const given = givenFor(realOf(info), at) ?? chosenFor(info, at)
  if (given !== undefined) return restoreOn(given, file, info, at)
  const slave = info.real_rdev === undefined ? undefined : openSlaveOn(at, info.real_rdev, file.flags)
  if (slave !== undefined) return slave
  const job = jobTerminal(at)
  if (job === undefined) throw missing(info, at)
  return hasControllingTerminal()
    ? at.open('openat', AT_FDCWD, DEV_TTY, openFlags(file.flags), 0)
    : openGiven(job, file.flags, at)
}

/** We are in the session of the shell that the job comes back to, so its terminal is ours too. */
function hasControllingTerminal(): boolean {
  const fd = sys('openat', AT_FDCWD, DEV_TTY, openFlags(O_NONBLOCK))
  if (fd < 0) return false
  using _ = new OpenFile(fd)
  return true
}
