// The windows of a restored tree are new ones: their programs hear of it.
import { now_ms } from '../base/run.ts'
import { isTerminal, readWinsize } from '../kinds/tty/device.ts'
import { SIGWINCH } from '../linux/constants.ts'
import { poll } from '../linux/poll.ts'
import { parseStat } from '../linux/proc/stat.ts'
import { must, readFile, sys } from '../linux/sys.ts'
import type { Used } from './terminal.ts'

/** How long tasks may take to get back to where they wait for input. */
const QUIET_ms = 200

/**
 * Tells the jobs of our terminals: SIGWINCH, so that full-screen programs draw again, in another size or into a window that has
 * nothing of them. Only when they wait again: in a call that is yet to be taken up, the signal would not end it with
 * EINTR, which is what such programs look for.
 */
export function announceWindows(terminals: readonly Used[], root: number, groupsOfTree: ReadonlySet<number>): void {
  const groups = new Set<number>()
  for (const { fd, info } of terminals) {
    if (info.settings === undefined || !isTerminal(fd)) continue
    const { ws_row, ws_col } = readWinsize(fd)
    if (ws_row !== 0 && ws_col !== 0) groups.add(info.pgrp)
  }
  const own = must('getpgid', 0)
  for (const wanted of groups) {
    const rootGroup = sys('getpgid', root)
    // One that has stayed outside may be a stranger's number here.
    const group = groupsOfTree.has(wanted) && sys('kill', -wanted, 0) === 0 ? wanted : rootGroup
    if (group <= 0) continue
    awaitQuiet(group === rootGroup ? root : group)
    sys('kill', group === own ? root : -group, SIGWINCH)
  }
}

/** Waits, not for ever, until the process sleeps. */
function awaitQuiet(pid: number): void {
  const end = now_ms() + QUIET_ms
  while (now_ms() < end) {
    const stat = readFile(-100, `/proc/${pid}/stat`, [2, 3])
    if (stat === undefined) return
    const { state } = parseStat(stat)
    if (state !== 'R' && state !== 't') return
    poll([], 1)
  }
}
