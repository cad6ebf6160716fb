// What is not carried over of terminals, and how it is said.
import { externalKey } from '../../base/options.ts'
import type { FileView, Limit, Loss } from '../kind.ts'

export const masterOutside: Limit = {
  id: 'tty-master-outside',
  says: 'the other end of this terminal is outside the tree',
  why: 'who shows it and types into it is not dumped with it',
  hint: "name it as outside: --external 'tty[RDEV:DEV]'",
}

export const leaderOutside: Limit = {
  id: 'tty-leader-outside',
  says: 'this terminal controls a session whose leader is outside the tree',
  why: 'it is a job of a shell',
  hint: "dump it as a shell's job: --shell-job (-j)",
}

export const lineDiscipline: Limit = {
  id: 'tty-line-discipline',
  says: 'a line discipline other than N_TTY is not supported',
  why: 'it keeps state in the kernel that nothing tells (PPP, SLIP, …)',
  hint: 'let the program that set it end before the dump',
}

export const otherTerminal: Limit = {
  id: 'tty-other-device',
  says: 'a terminal of this kind is not supported',
  hint: "name it as outside: --external 'tty[RDEV:DEV]'",
}

export const consoleMode: Limit = {
  id: 'tty-console-mode',
  says: 'a virtual terminal that a program draws on (KD_GRAPHICS), whose keys it takes unprocessed, or whose switching it controls (VT_PROCESS) is not supported',
  why: 'what is on the screen, and in the graphics card, cannot be had',
  hint: 'let the program (a display server, mostly) give it back before the dump: switch to another one',
}

export const ttyLimits: readonly Limit[] = [masterOutside, leaderOutside, lineDiscipline, consoleMode, otherTerminal]

export const ttyLosses: readonly Loss[] = [
  {
    what: 'input that waits in a terminal whose other end is outside the tree (typed ahead, or a line partly typed)',
    how: 'it stays there, for whoever reads that terminal next',
  },
  {
    what: 'input that waits in a pair whose slave nobody has open',
    how: 'a warning in the log of the dump',
  },
  {
    what: 'what is beyond 22528 bytes of one direction of a pair: a terminal that was filled and emptied often can hold more than a new one',
    how: 'a warning in the log of the dump',
  },
  {
    what: 'the number of a pty, where somebody else has it at the restore',
    how: 'it gets a free one, and its name follows; what the program noted of the old name (ttyname, $SSH_TTY, utmp) does not',
  },
  {
    what: 'locked settings (TIOCSLCKTRMIOS), restored without CAP_SYS_ADMIN; owner and mode of a slave, restored without the right to set them',
    how: 'the first with a warning in the log of the restore',
  },
  {
    what: 'exclusive use (TIOCEXCL) of a terminal that another one replaces',
    how: 'nothing is said: others of the caller use it too',
  },
  {
    what: 'window size of a terminal that another one replaces',
    how: 'the program hears of the new one by SIGWINCH; --keep-winsize sets the old one',
  },
  {
    what: 'what is on the screen of a virtual terminal, its font and keyboard map; lines and settings of a serial port beyond termios (TIOCMSET, TIOCSSERIAL, TIOCSRS485)',
    how: 'they are the devices, which stay as they are',
  },
]

/** The option by which this very terminal stays outside. */
export const externalOption = (rdev: number, dev: number): string =>
  `--external '${externalKey({ kind: 'tty', rdev, dev })}'`

/** Refuses with the options of this very terminal. */
export function refuseTerminal(view: FileView, limit: Limit): never {
  const { rdev, dev } = view.stat
  const outside = externalOption(rdev, dev)
  return view.refuse({
    ...limit,
    hint:
      limit === leaderOutside
        ? `${leaderOutside.hint}, or name it as outside: ${outside}`
        : `name it as outside: ${outside}`,
  })
}
