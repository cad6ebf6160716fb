// What the kernel keeps of our own process beside its memory: the runtime has set it up before it was frozen, and a process that
// starts from its memory has to set it up again (docs/decisions/frozen-start.md).
import { BardoError } from '../base/errors.ts'
import { textOf } from '../base/bytes.ts'
import {
  AT_FDCWD,
  EBADF,
  F_GETFD,
  O_CLOEXEC,
  PR_GET_TID_ADDRESS,
  RLIMIT_NOFILE,
  SIGKILL,
  SIGSTOP,
} from '../linux/constants.ts'
import { EPOLL_CTL_ADD, event, parseWatched } from '../kinds/fd/epoll.ts'
import { bytesAt } from '../linux/ffi.ts'
import { parseFdinfo } from '../linux/proc/fdinfo.ts'
import { putAction, SIG_DFL, sigaction } from '../linux/signal-action.ts'
import { must, readDirectory, readFile, readLink, scratch, sys } from '../linux/sys.ts'

const SIGNALS = Array.from({ length: 64 }, (_, index) => index + 1).filter(
  signo => signo !== SIGKILL && signo !== SIGSTOP,
)
const STACK_T_BYTES = 24
const ROBUST_LIST_HEAD_BYTES = 24
const RLIMIT_BYTES = 16
const [EFD_CLOEXEC, EFD_NONBLOCK] = [0o2000000, 0o4000]

/** The event loop of the runtime: an epoll that watches an eventfd, by which other threads wake it. */
type EventLoop = {
  readonly epoll: number
  readonly eventfd: number
  /** struct epoll_event, packed. */
  readonly event: Uint8Array
}

/** Our open descriptors, without the one that lists them. */
export function ownDescriptors(): number[] {
  const listed = readDirectory(AT_FDCWD, '/proc/self/fd').map(Number)
  return listed.filter(fd => sys('fcntl', fd, F_GETFD) >= 0)
}

/** What `ask` has the kernel write at an address. */
function answer(size: number, ask: (at: number) => void): Uint8Array {
  const mark = scratch.mark()
  try {
    const at = scratch.take(size)
    ask(at)
    return scratch.at(at, size).slice()
  } finally {
    scratch.release(mark)
  }
}

const wordIn = (bytes: Uint8Array): number => Number(new DataView(bytes.buffer).getBigUint64(0, true))

function findEventLoop(): EventLoop {
  const links = new Map<string, number>()
  for (const fd of ownDescriptors()) {
    const link = readLink(AT_FDCWD, `/proc/self/fd/${fd}`)
    if (typeof link !== 'number') links.set(textOf(link), fd)
  }
  const [epoll, eventfd] = [links.get('anon_inode:[eventpoll]'), links.get('anon_inode:[eventfd]')]
  if (epoll === undefined || eventfd === undefined)
    throw new BardoError('bug', 'the runtime has no event loop as we know it')
  const lines = parseFdinfo(readFile(AT_FDCWD, `/proc/self/fdinfo/${epoll}`)!).extra.get('tfd') ?? []
  const [watched, ...others] = lines.map(parseWatched)
  if (watched?.tfd !== eventfd || others.length > 0)
    throw new BardoError('bug', `the event loop of the runtime watches ${lines.join('; ') || 'nothing'}`)
  return { epoll, eventfd, event: event(watched) }
}

/** Moves a descriptor of ours to `wanted`; what was there is closed. */
function moveTo(wanted: number, fd: number): void {
  if (fd === wanted) return
  must('dup3', fd, wanted, O_CLOEXEC)
  sys('close', fd)
}

export class KernelState {
  readonly #actions = SIGNALS.map(signo => ({ signo, action: sigaction(signo) })).filter(
    ({ action }) => BigInt(wordIn(action)) !== SIG_DFL,
  )
  readonly #signalStack = answer(STACK_T_BYTES, at => must('sigaltstack', 0, at))
  readonly #robustList = wordIn(answer(16, at => must('get_robust_list', 0, at, at + 8)))
  readonly #tid = wordIn(answer(8, at => must('prctl', PR_GET_TID_ADDRESS, at)))
  readonly #loop = findEventLoop()

  /** Whether the numbers of the event loop's descriptors are free here, and may be used. */
  get hasRoom(): boolean {
    const { epoll, eventfd } = this.#loop
    const [soft] = this.#limits()
    return [epoll, eventfd].every(fd => fd < soft && sys('fcntl', fd, F_GETFD) === -EBADF)
  }

  /** Also where it has not been lost: then it is as before. */
  giveBack(): void {
    // The thread's id stands in the C library's own description of it, where the kernel also clears it at the end.
    const tid = must('set_tid_address', this.#tid)
    new DataView(bytesAt(this.#tid, 4).buffer).setInt32(0, tid, true)
    must('set_robust_list', this.#robustList, ROBUST_LIST_HEAD_BYTES)
    must('sigaltstack', this.#signalStack, 0)
    for (const { signo, action } of this.#actions) putAction(signo, action)
    const { epoll, eventfd, event } = this.#loop
    moveTo(eventfd, must('eventfd2', 0, EFD_CLOEXEC | EFD_NONBLOCK))
    moveTo(epoll, must('epoll_create1', O_CLOEXEC))
    must('epoll_ctl', epoll, EPOLL_CTL_ADD, eventfd, event)
    // The runtime raises its limit of descriptors at its start, as far as it may.
    const [soft, hard] = this.#limits()
    if (soft < hard) sys('prlimit64', 0, RLIMIT_NOFILE, new Uint8Array(BigUint64Array.of(hard, hard).buffer), 0)
  }

  #limits(): [soft: bigint, hard: bigint] {
    const limits = answer(RLIMIT_BYTES, at => must('prlimit64', 0, RLIMIT_NOFILE, 0, at))
    const words = new BigUint64Array(limits.buffer)
    return [words[0]!, words[1]!]
  }
}
