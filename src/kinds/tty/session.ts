// Whose terminal a terminal is: sessions of the tree take theirs, and a shell's job gets the terminal that we are on.
import { EINVAL, ENOTTY, EPERM, ESRCH, TIOCSCTTY, TIOCSPGRP } from '../../linux/constants.ts'
import type { Slot } from '../../program/program.ts'
import type { Build } from '../kind.ts'
import type { Info } from './info.ts'
import { int } from './refill.ts'

/** TIOCSCTTY's argument: take the terminal only if it is free, or also from another session (as CAP_SYS_ADMIN may). */
export const [IF_FREE, FROM_ANOTHER] = [0, 1] as const

/** Says that the leader of the terminal's session takes it, and which group of the session is in the foreground. */
export function controlSession(at: Build, { sid, pgrp }: Info, file: Slot<'fd'>, how: 0 | 1): void {
  at.asLeader(sid, leader => void leader.call('ioctl', leader.borrow(file), TIOCSCTTY, how))
  if (pgrp === 0 || pgrp === sid) return
  // The group that was in the foreground may have ended: then no group is, and the leader's stays.
  at.inTask(
    sid,
    'terminals',
    leader => void leader.attempt([ESRCH, EPERM], 'ioctl', leader.borrow(file), TIOCSPGRP, leader.memory(int(pgrp))),
  )
}

/** Says that group `pgrp` of our own session, a restored job, is in the foreground from when it runs. */
export function foreground(at: Build, file: Slot<'fd'>, pgrp: number): void {
  // Where it is not our controlling terminal, or the group is in another session after all, nothing is to be shown.
  at.later(
    'go',
    late => void late.attempt([ENOTTY, EPERM, ESRCH, EINVAL], 'ioctl', file, TIOCSPGRP, late.memory(int(pgrp))),
  )
}
