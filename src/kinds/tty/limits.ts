// What is not carried over of terminals, and how it is said.
import { externalKey } from '../../base/options.ts'
import type { FileView, Limit } from '../kind.ts'

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

/** What is lost without a refusal, as it is of no use or cannot be known; for docs/limits.md. */
export const ttyLimits: readonly Limit[] = [masterOutside, leaderOutside, lineDiscipline, otherTerminal]

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
