// A restore that stays with its tree, as a shell stays with its job: the terminal is the job's while it runs, and the
// user's own again, settings and all, when the job ends or stops.
import { log } from '../base/log.ts'
import { BardoError } from '../base/errors.ts'
import { interrupted } from '../base/interrupt.ts'
import type { Info } from '../kinds/tty/info.ts'
import { ask, isTerminal, readTermios, readWinsize } from '../kinds/tty/device.ts'
import { termiosBytes, winsizeBytes, type Termios } from '../kinds/tty/termios.ts'
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
  TCSETS2,
  TIOCGPGRP,
  TIOCSPGRP,
  TIOCSWINSZ,
  WALL,
  WUNTRACED,
} from '../linux/constants.ts'
import { syscall } from '../linux/ffi.ts'
import { NR } from '../linux/nr.ts'
import { poll } from '../linux/poll.ts'
import { SIG_DFL, SIG_IGN, SignalPipe, setAction } from '../linux/signal-pipe.ts'
import { must, readFile, scratch, sys } from '../linux/sys.ts'

const WNOHANG = 1
const [SIG_BLOCK, SIG_SETMASK] = [0, 2]
const [SIGUSR1, SIGUSR2] = [10, 12]
/** What is sent on to the root of the tree. */
export const FORWARDED: readonly number[] = [SIGHUP, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2, SIGTERM]
/** Sent by the kernel, such as for a ^C: to the whole group (sigaction(2), si_code). */
const SI_KERNEL = 0x80

type Saved = { readonly fd: number; readonly winsize: Uint8Array; termios: Termios; ofJob?: Uint8Array }

const areEqual = (one: Uint8Array, other: Uint8Array): boolean => one.every((byte, index) => byte === other[index])

/** The group that a terminal shows; undefined where it is not our controlling terminal. */
function shownGroup(fd: number): number | undefined {
  const answer = ask(fd, TIOCGPGRP, 4)
  return typeof answer === 'number' ? undefined : new DataView(answer.buffer).getInt32(0, true)
}

const show = (fd: number, pgrp: number): number =>
  sys('ioctl', fd, TIOCSPGRP, new Uint8Array(Int32Array.of(pgrp).buffer))
const setTermios = (fd: number, termios: Termios): number => sys('ioctl', fd, TCSETS2, termiosBytes(termios))

/** 0 when it runs on, with `signal` when it has stopped, with `status` when it has ended. */
type Change = { readonly stopped?: number; readonly status?: number }

/** What waitpid tells of our child now: status as a shell has it, 128 and the signal that killed it. */
export function changeOf(pid: number, flags = WNOHANG | WALL): Change {
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
    if ((status & 0xff) === 0x7f) return { stopped: (status >> 8) & 0xff }
    return { status: (status & 0x7f) === 0 ? (status >> 8) & 0xff : 128 + (status & 0x7f) }
  } finally {
    scratch.release(mark)
  }
}

/** The terminals of ours that a restore uses, from before it until the job has ended: `using`. */
export class Foreground {
  readonly #saved: Saved[] = []
  readonly #mask = new Uint8Array(8)
  /** Our controlling terminal, if the job is on it. */
  readonly #terminal: number | undefined
  readonly #group = must('getpgid', 0)
  /** Whether the job has the terminal from us: while we are in the background, it has not. */
  #given: boolean

  /** Remembers how terminals `fds` are. */
  constructor(fds: readonly number[]) {
    for (const fd of new Set(fds))
      if (isTerminal(fd)) this.#saved.push({ fd, winsize: winsizeBytes(readWinsize(fd)), termios: readTermios(fd) })
    // Who is not in the foreground is stopped when it sets a terminal, unless it blocks the signal (tty_check_change).
    // Ignored, it would be ignored in the restored tree too.
    this.#block(SIGTTOU)
    this.#terminal = this.#saved.find(({ fd }) => shownGroup(fd) !== undefined)?.fd
    this.#given = this.#terminal !== undefined && shownGroup(this.#terminal) === this.#group
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
    this.#putBack()
    must('rt_sigprocmask', SIG_SETMASK, this.#mask, 0, 8)
  }

  #putBack(): void {
    if (this.#terminal !== undefined && this.#given) show(this.#terminal, this.#group)
    for (const { fd, termios, winsize, ofJob } of this.#saved) {
      setTermios(fd, termios)
      // With --keep-winsize; a window that was resized meanwhile is as it is.
      if (ofJob !== undefined && isTerminal(fd) && areEqual(winsizeBytes(readWinsize(fd)), ofJob))
        sys('ioctl', fd, TIOCSWINSZ, winsize)
    }
  }

  /** The job has set the sizes of the windows, too. */
  noteSizes(): void {
    for (const saved of this.#saved) if (isTerminal(saved.fd)) saved.ofJob = winsizeBytes(readWinsize(saved.fd))
  }

  /** Waits until `root`, our child, has ended; its status. Stops with it, unless it `isStopped` on purpose, and goes on with it. */
  wait(root: number, isStopped: boolean): number {
    const group = must('getpgid', root)
    using signals = new SignalPipe([...FORWARDED, SIGCHLD, SIGCONT, SIGWINCH])
    // What came while the restore was about to succeed, and did not stop it any more.
    const early = interrupted()
    if (early !== 0) sys('kill', root, early)
    // A ^Z for a group that is ours too: we stop when we have put the terminal in order.
    const stops = [SIGTSTP, SIGTTIN].map(signal => [signal, setAction(signal, SIG_IGN)] as const)
    try {
      for (;;) {
        const change = changeOf(root, WNOHANG | WALL | (this.#terminal === undefined || isStopped ? 0 : WUNTRACED))
        if (change.status !== undefined) return change.status
        if (change.stopped !== undefined) this.#stop(root, group, change.stopped)
        poll([{ fd: signals.fd, events: POLLIN }])
        for (let signal = signals.next(); signal !== undefined; signal = signals.next()) {
          const hadIt = signal.code === SI_KERNEL && group === this.#group
          if (FORWARDED.includes(signal.signo) && !hadIt) sys('kill', root, signal.signo)
        }
      }
    } finally {
      for (const [signal] of stops) setAction(signal, SIG_DFL)
    }
  }

  /** The job has stopped: the shell is to see us stop, on a terminal that is as the shell left it. */
  #stop(root: number, group: number, signal: number): void {
    const terminal = this.#terminal!
    const wantsTerminal = signal === SIGTTIN || signal === SIGTTOU
    // It was in the background, and has been asked for: `fg` of a job that runs sends no signal.
    if (wantsTerminal && shownGroup(terminal) === this.#group) {
      show(terminal, group)
      this.#given = true
      this.#continue(root, group)
      return
    }
    const shown = shownGroup(terminal)
    const hasIt = this.#given && shown !== undefined
    const ofJob = this.#saved.map(({ fd }) => (isTerminal(fd) ? readTermios(fd) : undefined))
    if (hasIt) {
      show(terminal, this.#group)
      for (const { fd, termios } of this.#saved) setTermios(fd, termios)
    }
    this.#given = false
    log.debug(() => `The job has stopped (${signal}), and we with it`)
    const ours = signal === SIGSTOP || signal === SIGTTOU ? SIGSTOP : signal
    if (ours !== SIGSTOP) setAction(ours, SIG_DFL)
    // All of our group, as the kernel does it for a ^Z: the rest of a pipe, or a script that has called us.
    sys('kill', 0, ours)
    if (ours !== SIGSTOP) setAction(ours, SIG_IGN)
    // Continued, with `fg` or `bg`.
    if (shownGroup(terminal) === this.#group) {
      this.#saved.forEach((saved, index) => {
        if (!isTerminal(saved.fd)) return
        saved.termios = readTermios(saved.fd)
        const termios = ofJob[index]
        if (termios !== undefined) setTermios(saved.fd, termios)
      })
      show(terminal, hasIt ? shown : group)
      this.#given = true
    }
    this.#continue(root, group)
  }

  #continue(root: number, group: number): void {
    if (group === this.#group) sys('kill', root, SIGCONT)
    else sys('kill', -group, SIGCONT)
  }
}

/** How long tasks may take to get back to where they wait for input. */
const QUIET_ms = 200

/**
 * Tells the jobs of terminals that have another size than in the image: SIGWINCH, so that full-screen programs draw
 * again. Only when they wait again: in a call that is yet to be taken up, the signal would not end it with EINTR, which
 * is what such programs look for.
 */
export function announceSizes(terminals: readonly { readonly fd: number; readonly info: Info }[], root: number): void {
  const groups = new Set<number>()
  for (const { fd, info } of terminals) {
    if (info.settings === undefined || !isTerminal(fd)) continue
    const now = readWinsize(fd)
    const { ws_row, ws_col } = info.settings.winsize
    if (now.ws_row === 0 || now.ws_col === 0 || (now.ws_row === ws_row && now.ws_col === ws_col)) continue
    groups.add(info.pgrp)
  }
  const own = must('getpgid', 0)
  for (const wanted of groups) {
    const rootGroup = sys('getpgid', root)
    const group = wanted > 0 && sys('kill', -wanted, 0) === 0 ? wanted : rootGroup
    if (group <= 0) continue
    awaitQuiet(group === rootGroup ? root : group)
    sys('kill', group === own ? root : -group, SIGWINCH)
  }
}

/** Waits, not for ever, until the process sleeps. */
function awaitQuiet(pid: number): void {
  const end = performance.now() + QUIET_ms
  while (performance.now() < end) {
    const stat = readFile(-100, `/proc/${pid}/stat`, [2, 3])
    if (stat === undefined) return
    // The state stands behind the name, which may have any bytes but ends with the last parenthesis.
    const state = String.fromCharCode(stat[stat.lastIndexOf(0x29) + 2]!)
    if (state !== 'R' && state !== 't') return
    poll([], 1)
  }
}
