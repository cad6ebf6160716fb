// What moving a program to another terminal cannot do, for docs/limits.md. Nothing of it fails a restore unless it says so.
import type { Limit } from '../kinds/kind.ts'

export const terminalLimits: readonly Limit[] = [
  {
    id: 'move-unread-input',
    says: 'what was typed into a terminal outside the tree and not read yet stays there',
    why: 'it is the input of whoever has that terminal next; pairs inside the tree keep theirs',
    hint: 'let the program read it before the dump',
  },
  {
    id: 'move-emulator-modes',
    says: 'modes that a program set by escape sequences before the dump (alternate screen, mouse, pasting) are not set in the new window',
    why: 'they are in the terminal emulator, not in the kernel; full-screen programs draw again all the same',
    hint: 'modes that are set after a restore with --tty new are undone by leaving and set again by attach',
  },
  {
    id: 'move-no-replay',
    says: 'what is written to a kept terminal while nobody shows it is thrown away',
    hint: 'full-screen programs draw again when they are shown; what has to be read later goes to a file',
  },
  {
    id: 'move-one-session',
    says: 'of several sessions that are put on one --tty, the first has it as its controlling terminal, the others have none',
    why: 'a terminal controls one session; the log names those that are left without',
    hint: "give each its own: --inherit-fd 'fd[N]:tty[RDEV:DEV]'",
  },
  {
    id: 'move-takes',
    says: 'a tree that leads its session takes the terminal that it is put on from the session that had it, your shell perhaps',
    why: 'a terminal controls one session, and only its leader can take it back; the log says so',
    hint: 'use --tty new, or a window in which nothing but `sleep infinity` runs',
  },
  {
    id: 'move-names',
    says: 'a program that remembers the name of its terminal ($SSH_TTY, ttyname, utmp) has the old one',
    hint: 'only a pair inside the tree can come back under its number, where that is free',
  },
  {
    id: 'move-killed-between',
    says: "a foreground restore that is killed by SIGKILL in the moment between giving the terminal the job's settings and its first child behind that (under 1 ms) does not put the user's back",
    why: 'before the tree runs no process can be made that might take one of its pids; later a small process puts them back, unless it is killed too',
    hint: 'stty sane, or reset',
  },
  {
    id: 'move-no-shell',
    says: 'a ^Z for a foreground restore that no shell looks after (ssh -t host bardo restore …), or only one outside of its pid namespace, is undone at once',
    why: 'nobody could ever continue the job',
    hint: 'restore from a shell, or with --tty new',
  },
  {
    id: 'move-background-detached',
    says: "a shell's job that is restored with -d on the shell's own terminal is in the background for good: reading from it fails (EIO)",
    why: 'the shell takes its terminal back, and it does not know the job',
    hint: 'leave out -d, or use --tty new',
  },
  {
    id: 'move-root-ends',
    says: 'a kept terminal is hung up when the root of its tree ends, and when its keeper is killed',
    why: 'as with a terminal emulator and the program that it has started',
  },
  {
    id: 'move-who-attaches',
    says: 'a kept terminal is shown in one window at a time, to the user who restored it, or root; another attach takes it over',
  },
]
