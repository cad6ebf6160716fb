// A restore that stays with its tree, as a shell stays with its job: the terminal is the job's while it runs, and the
// user's own again, settings and all, when the job ends or stops.
import { log } from '../base/log.ts'
import { BardoError } from '../base/errors.ts'
import { interrupted } from '../base/interrupt.ts'
import { perRun } from '../base/run.ts'
import { isTerminal, readTermios, readWinsize } from '../kinds/tty/device.ts'
import { termiosBytes, winsizeBytes, type Termios } from '../kinds/tty/termios.ts'
import type { winsize_entry } from '../image/messages/tty.ts'
import {
  ECHILD,
  EINTR,
  POLLIN,
  SIGCHLD,
  SIGCONT,
  SIGHUP,
  SIGINT,
  SIGQUIT,
  SIGSTOP,
  SIGTERM,
  SIGTSTP,
  SIGTTIN,
  SIGTTOU,
  SIGWINCH,
  SIG_BLOCK,
  SIG_SETMASK,
  TCSETS2,
  TIOCSPGRP,
  TIOCSWINSZ,
  WALL,
  WNOHANG,
  WUNTRACED,
} from '../linux/constants.ts'
import { syscall } from '../linux/ffi.ts'
import { NR } from '../linux/nr.ts'
import { poll } from '../linux/poll.ts'
import { parseStat } from '../linux/proc/stat.ts'
import { putAction, SIG_DFL, SIG_IGN, setAction } from '../linux/signal-action.ts'
import { SignalPipe, type Signal } from '../linux/signal-pipe.ts'
import { must, readFile, scratch, sys } from '../linux/sys.ts'
import { Guard, leadersGroup, shownGroup } from './guard.ts'
import type { Used } from './terminal.ts'

const [SIGUSR1, SIGUSR2] = [10, 12]
/** What is sent on to the root of the tree. */
export const FORWARDED: readonly number[] = [SIGHUP, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2, SIGTERM]
/** Sent by the kernel, such as for a ^C: to the whole group (sigaction(2), si_code). */
const SI_KERNEL = 0x80

type Saved = {
  readonly fd: number
  /** It is our controlling terminal: in the background it is not ours to change. */
  readonly isControlling: boolean
  readonly winsize: winsize_entry
  /** How the user has it. */
  termios: Termios
  /** How the job has it, while the user has it back. */
  ofJob: Termios | undefined
  /** The size that the job has set, with --keep-winsize. */
  sizeOfJob?: winsize_entry
}

export const isControlling = (fd: number): boolean => shownGroup(fd) !== undefined
const show = (fd: number, pgrp: number): number =>
  sys('ioctl', fd, TIOCSPGRP, new Uint8Array(Int32Array.of(pgrp).buffer))
const setTermios = (fd: number, termios: Termios): number => sys('ioctl', fd, TCSETS2, termiosBytes(termios))
/** Undefined for a terminal that was hung up meanwhile. */
const termiosNow = (fd: number): Termios | undefined => (isTerminal(fd) ? readTermios(fd) : undefined)

/** The parent of a process, and its group and session: undefined when it is gone, or in a pid namespace above ours. */
function familyOf(pid: number): { ppid: number; pgid: number; sid: number } | undefined {
  const stat = pid <= 0 ? undefined : readFile(-100, `/proc/${pid}/stat`, [2, 3])
  if (stat === undefined) return undefined
  const { ppid, pgrp, session } = parseStat(stat)
  return { ppid, pgid: pgrp, sid: session }
}

/**
 * Whether a shell looks after our group: somebody in our session and in another group is the parent of one in it. What is outside
 * of our pid namespace is 0 to us: a shell there cannot be told from another, and process 1 cannot be stopped.
 */
export function isUnderShell(): boolean {
  const [pgid, sid] = [must('getpgid', 0), must('getsid', 0)]
  if (pgid === 0 || sid === 0) return false
  for (let family = familyOf(sys('getppid')); family !== undefined; family = familyOf(family.ppid)) {
    if (family.sid !== sid) return false
    if (family.pgid !== pgid) return true
  }
  return false
}

/** Empty while it runs on; `stopped` is the signal that stopped it. */
type Change = { readonly stopped?: number; readonly continued?: true; readonly status?: number }

const [WCONTINUED, CONTINUED_STATUS] = [8, 0xffff]

/** What waitpid tells of our child now: status as a shell has it, 128 and the signal that killed it. */
function changeOf(pid: number, flags: number): Change {
  const mark = scratch.mark()
  try {
    const at = scratch.take(8)
    const result = syscall(NR.wait4, pid, at, flags, 0)
    if (result === -EINTR || result === 0) return {}
    if (result !== pid)
      throw new BardoError('refused', `cannot wait for the restored process ${pid}`, {
        errno: -result,
        ...(result === -ECHILD && { why: 'somebody else has taken its end' }),
      })
    const status = scratch.view.getInt32(at - scratch.address, true)
    if (status === CONTINUED_STATUS) return { continued: true }
    if ((status & 0xff) === 0x7f) return { stopped: (status >> 8) & 0xff }
    return { status: (status & 0x7f) === 0 ? (status >> 8) & 0xff : 128 + (status & 0x7f) }
  } finally {
    scratch.release(mark)
  }
}

const early = perRun(() => ({ wasSent: false }))

/** Sends on what came while the restore was about to succeed, and did not stop it any more; once. */
export function forwardEarly(root: number): void {
  const signo = interrupted()
  if (signo === 0 || early().wasSent) return
  early().wasSent = true
  sys('kill', root, signo)
}

/** The terminals of ours that a restore uses, from before it until the job has ended: `using`. */
export class Foreground {
  readonly #saved: Saved[] = []
  readonly #mask = new Uint8Array(8)
  /** Our controlling terminal, if the job is on it. */
  readonly #terminal: number | undefined
  readonly #group = must('getpgid', 0)
  readonly #leaders = leadersGroup()
  /** Whether the job has the terminal from us: while we are in the background, it has not. */
  #given = false
  #guard: Guard | undefined
  #signals: SignalPipe | undefined
  #ttin: Uint8Array | undefined

  /** Remembers how terminals are. */
  constructor(terminals: readonly Used[]) {
    for (const { fd, info } of terminals) {
      if (this.#saved.some(saved => saved.fd === fd)) continue
      const termios = termiosNow(fd)
      if (termios === undefined) continue
      this.#saved.push({
        fd,
        isControlling: isControlling(fd),
        winsize: readWinsize(fd),
        termios,
        ofJob: info.settings?.termios,
      })
    }
    this.#terminal = this.#saved.find(({ isControlling }) => isControlling)?.fd
    if (this.#terminal === undefined) return
    this.#given = shownGroup(this.#terminal) === this.#group
    // Who is not in the foreground is stopped when it sets a terminal, unless it blocks the signal (tty_check_change;
    // test/kernel/tty-background-blocked.test.ts).
    // Ignored, it would be ignored in the restored tree too.
    this.#block(SIGTTOU)
  }

  #block(signal: number): void {
    const mark = scratch.mark()
    const before = scratch.take(8)
    const set = new Uint8Array(BigUint64Array.of(1n << BigInt(signal - 1)).buffer)
    must('rt_sigprocmask', SIG_BLOCK, set, before, 8)
    this.#mask.set(scratch.at(before, 8))
    scratch.release(mark)
  }

  [Symbol.dispose](): void {
    this.#putBack(this.#saved)
    this.#guard?.[Symbol.dispose]()
    this.#signals?.[Symbol.dispose]()
    if (this.#ttin !== undefined) putAction(SIGTTIN, this.#ttin)
    if (this.#terminal !== undefined) must('rt_sigprocmask', SIG_SETMASK, this.#mask, 0, 8)
  }

  /** Whether what we do to our controlling terminal is not done to somebody who has it now. */
  #mayChange(): boolean {
    if (!this.#given) return false
    // Undefined where the tree's own session has taken it from ours: it is nobody else's then.
    return shownGroup(this.#terminal!) !== this.#leaders
  }

  #putBack(terminals: readonly Saved[]): void {
    const mayChange = this.#mayChange()
    if (mayChange) show(this.#terminal!, this.#group)
    for (const { fd, termios, winsize, sizeOfJob, isControlling } of terminals) {
      if (isControlling && !mayChange) continue
      setTermios(fd, termios)
      // A window that was resized meanwhile is as it is.
      if (sizeOfJob !== undefined && isTerminal(fd) && isSame(readWinsize(fd), sizeOfJob))
        sys('ioctl', fd, TIOCSWINSZ, winsizeBytes(winsize))
    }
  }

  /** The job has set the sizes of the windows, too. */
  noteSizes(): void {
    for (const saved of this.#saved) if (isTerminal(saved.fd)) saved.sizeOfJob = readWinsize(saved.fd)
  }

  /** The tree runs, with `root`, our child: signals are the job's from here on, and terminals are put in order even if we are killed. */
  begin(root: number): void {
    this.#signals = new SignalPipe([...FORWARDED, SIGCHLD, SIGCONT, SIGTSTP, SIGWINCH])
    forwardEarly(root)
    // Of a group that is ours too, when we are in the background: we stop when we have put the terminal in order.
    this.#ttin = setAction(SIGTTIN, SIG_IGN)
    if (this.#saved.length === 0) return
    this.#guard = new Guard(this.#saved.map(({ fd }) => fd))
    this.#tellGuard()
  }

  #tellGuard(): void {
    this.#guard?.keep(
      this.#saved
        .filter(({ isControlling }) => !isControlling || this.#given)
        .map(({ fd, termios, winsize, sizeOfJob, isControlling }) => {
          const shown = isControlling ? { group: this.#group, except: this.#leaders } : undefined
          return { fd, termios, winsize: sizeOfJob && winsize, ...(shown && { shown }) }
        }),
    )
  }

  /** Waits until `root` has ended; its status. Stops with it, unless it `startsStopped` on purpose, and goes on with it. */
  wait(root: number, startsStopped: boolean): number {
    const signals = this.#signals!
    let isStopped = startsStopped
    for (;;) {
      const stops = isStopped ? WCONTINUED : WUNTRACED
      const change = changeOf(root, WNOHANG | WALL | (this.#terminal === undefined ? 0 : stops))
      if (change.status !== undefined) return change.status
      if (change.continued) isStopped = false
      if (change.stopped !== undefined) this.#stop(root, change.stopped)
      poll([{ fd: signals.fd, events: POLLIN }])
      for (let signal = signals.next(); signal !== undefined; signal = signals.next()) this.#forward(signal, root)
    }
  }

  /** What the kernel sends goes to a whole group: to the job's too, if that is another one. */
  #forward({ signo, code }: Signal, root: number): void {
    if (signo === SIGCHLD) return
    const group = sys('getpgid', root)
    const isOurs = group === this.#group
    if (signo === SIGCONT) this.#continued(group)
    else if (code === SI_KERNEL || signo === SIGTSTP || signo === SIGWINCH) {
      if (!isOurs && group > 0) sys('kill', -group, signo)
      else if (code !== SI_KERNEL) sys('kill', root, signo)
    } else sys('kill', root, signo)
  }

  /** We were stopped without having heard of it (SIGSTOP): the shell may have the terminal now, or have given it to us. */
  #continued(group: number): void {
    if (this.#terminal === undefined) return
    const shown = shownGroup(this.#terminal)
    if (shown === this.#group && group > 0 && group !== this.#group) {
      this.#give(group)
      sys('kill', -group, SIGCONT)
    } else if (this.#given && !this.#mayChange()) this.#given = false
    this.#tellGuard()
  }

  /** The job gets the terminal, with the settings that it had. */
  #give(group: number): void {
    for (const saved of this.#saved) {
      const now = saved.isControlling ? termiosNow(saved.fd) : undefined
      if (now === undefined) continue
      // The user may have changed it while he had it.
      if (!this.#given) saved.termios = now
      if (saved.ofJob !== undefined) setTermios(saved.fd, saved.ofJob)
      if (saved.sizeOfJob !== undefined) sys('ioctl', saved.fd, TIOCSWINSZ, winsizeBytes(saved.sizeOfJob))
      saved.ofJob = undefined
    }
    show(this.#terminal!, group)
    this.#given = true
    this.#tellGuard()
  }

  /** The user gets the terminal back. */
  #take(): void {
    const terminals = this.#saved.filter(({ isControlling }) => isControlling)
    for (const saved of terminals) saved.ofJob = termiosNow(saved.fd) ?? saved.ofJob
    this.#putBack(terminals)
    this.#given = false
    this.#tellGuard()
  }

  /** The job has stopped: the shell is to see us stop, on a terminal that is as the shell left it. */
  #stop(root: number, signal: number): void {
    const terminal = this.#terminal!
    const group = sys('getpgid', root)
    const wantsTerminal = signal === SIGTTIN || signal === SIGTTOU
    // It was in the background, and has been asked for: `fg` of a job that runs sends no signal.
    if (wantsTerminal && this.#group !== 0 && shownGroup(terminal) === this.#group) {
      this.#give(group)
      this.#continue(root, group)
      return
    }
    if (!isUnderShell()) {
      // Nobody would ever continue us. The kernel, too, does not let a ^Z stop a group that nobody looks after. Who wants the
      // terminal in the background gets it when we hear that we are continued.
      if (signal === SIGTSTP) this.#continue(root, group)
      return
    }
    // The group to show again: of a shell that was dumped as a job, it may be one of its own jobs.
    const shown = shownGroup(terminal)
    const had = this.#mayChange() ? shown : undefined
    if (had !== undefined) this.#take()
    log.debug(() => `The job has stopped (${signal}), and we with it`)
    const ours = signal === SIGSTOP || signal === SIGTTOU ? SIGSTOP : signal
    const before = ours === SIGSTOP ? undefined : setAction(ours, SIG_DFL)
    // All of our group, as the kernel does it for a ^Z: the rest of a pipe, or a script that has called us.
    sys('kill', 0, ours)
    // Continued, with `fg` or `bg`.
    if (before !== undefined) putAction(ours, before)
    if (shownGroup(terminal) === this.#group) this.#give(had ?? group)
    this.#continue(root, group)
  }

  #continue(root: number, group: number): void {
    if (group === this.#group) sys('kill', root, SIGCONT)
    else sys('kill', -group, SIGCONT)
  }
}

const isSame = (one: winsize_entry, other: winsize_entry): boolean =>
  winsizeBytes(one).every((byte, index) => byte === winsizeBytes(other)[index])
