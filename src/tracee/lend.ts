// An open file of ours, lent to a stopped task: a socket pair in the task, one end of which we take (pidfd_getfd) and
// send the file through. It works whatever the task's mount namespace, root or user may see of us.
import { BardoError } from '../base/errors.ts'
import { log } from '../base/log.ts'
import {
  AF_UNIX, AT_FDCWD, MSG_CMSG_CLOEXEC, SCM_RIGHTS, SOCK_CLOEXEC, SOCK_DGRAM, SOL_SOCKET,
} from '../linux/constants.ts'
import { TAIL_SIZE } from '../linux/arch/x86-64.ts'
import { Arena } from '../linux/ffi.ts'
import { OpenFile, must, readDirectory, refusal, sys } from '../linux/sys.ts'
import type { Remote, Table } from './remote.ts'
import type { Thread } from './stopped.ts'

const CMSG_SIZE = 24 // header of 16, one int, padding
const MSGHDR_SIZE = 56
/** The table that closes what was lent. */
const CLOSING_SIZE = 1024
const arena = new Arena(4096)

/** The `count` lowest descriptor numbers that a task does not use: those that its next calls will get. */
function lowestFree(pid: number, count: number): number[] {
  const used = new Set(readDirectory(AT_FDCWD, `/proc/${pid}/fd`).map(Number))
  const free: number[] = []
  for (let fd = 0; free.length < count; fd++) if (!used.has(fd)) free.push(fd)
  return free
}

/** Sends our descriptor over our end of the pair. */
function send(socket: number, fd: number): void {
  const mark = arena.mark()
  const iov = arena.take(16)
  const byte = arena.take(8)
  const control = arena.take(CMSG_SIZE)
  const header = arena.take(MSGHDR_SIZE)
  const put = (at: number, value: number): void => arena.view.setBigUint64(at - arena.address, BigInt(value), true)
  put(iov, byte)
  put(iov + 8, 1)
  put(control, 20)
  arena.view.setInt32(control + 8 - arena.address, SOL_SOCKET, true)
  arena.view.setInt32(control + 12 - arena.address, SCM_RIGHTS, true)
  arena.view.setInt32(control + 16 - arena.address, fd, true)
  put(header + 16, iov)
  put(header + 24, 1)
  put(header + 32, control)
  put(header + 40, CMSG_SIZE)
  const result = sys('sendmsg', socket, header, 0)
  arena.release(mark)
  if (result < 0) throw refusal('sendmsg', result, socket)
}

/** A file of ours under a number of the task's, taken back when disposed of. */
export class LentFile {
  readonly fd: number
  readonly #remote: Remote
  readonly #thread: Thread
  readonly #numbers: readonly number[]

  /** Throws `refused` when the task cannot have three more descriptors (EMFILE). */
  constructor(remote: Remote, thread: Thread, ours: number) {
    this.#remote = remote
    this.#thread = thread
    this.#numbers = lowestFree(remote.pid, 3)
    const [first, second, third] = this.#numbers as [number, number, number]
    {
      using table = remote.table(thread)
      this.protect(table)
      const pair = table.take(8)
      table.call('socketpair', [AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair])
      table.run()
      if (table.word32(pair) !== first || table.word32(pair + 4) !== second)
        throw new BardoError('bug', `a socket pair of ${remote.pid} got unexpected descriptors`)
    }
    using pidfd = new OpenFile(must('pidfd_open', remote.pid, 0))
    using end = new OpenFile(must('pidfd_getfd', pidfd.fd, second, 0))
    send(end.fd, ours)
    using table = remote.table(thread)
    this.protect(table)
    const byte = table.take(8)
    const iov = table.words([BigInt(byte), 1n])
    const control = table.take(CMSG_SIZE)
    const header = table.words([0n, 0n, BigInt(iov), 1n, BigInt(control), BigInt(CMSG_SIZE), 0n])
    table.call('recvmsg', [first, header, MSG_CMSG_CLOEXEC])
    table.run()
    this.fd = table.word32(control + 16)
    if (this.fd !== third) throw new BardoError('bug', `${remote.pid} received descriptor ${this.fd} instead of ${third}`)
  }

  /** A task that loses us closes what it was lent: to be said of every table while the file is out. */
  protect(table: Table): void {
    for (const fd of this.#numbers) table.undo('close', [fd])
  }

  [Symbol.dispose](): void {
    // Beside the tail and the undo calls of the last table, which are good until this one runs; behind it they would be
    // wrong, since other threads could have got the same numbers.
    const start = this.#remote.start + TAIL_SIZE
    using table = this.#remote.table(this.#thread, start, start + CLOSING_SIZE)
    for (const fd of this.#numbers) table.call('close', [fd], { mayFail: true })
    table.run()
    for (let index = 0; index < this.#numbers.length; index++)
      if (table.result(index) < 0) log.warn('tracee/lend', `descriptor ${this.#numbers[index]} of ${this.#remote.pid} stayed open`)
  }
}
