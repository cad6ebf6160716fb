// An open file of ours, lent to a stopped task: a socket pair in the task, one end of which we take (pidfd_getfd) and
// send the file through. It works whatever the task's mount namespace, root or user may see of us.
import { BardoError } from '../base/errors.ts'
import { log } from '../base/log.ts'
import { AF_UNIX, MSG_CMSG_CLOEXEC, SOCK_CLOEXEC, SOCK_DGRAM } from '../linux/constants.ts'
import { TAIL_SIZE } from '../linux/arch/x86-64.ts'
import { sendFiles } from '../linux/send-file.ts'
import { OpenFile, must, refusal } from '../linux/sys.ts'
import { readMemory } from './memory.ts'
import type { Remote } from './remote.ts'
import type { Thread } from './stopped.ts'
import type { Table } from './table.ts'
import { undo } from './undo.ts'

const CMSG_SIZE = 24 // header of 16, one int, padding
const EMFILE = 24
/** The table that closes what was lent. */
const CLOSING_SIZE = 1024

/** Sends our descriptor over our end of the pair. */
function send(socket: number, fd: number): void {
  const result = sendFiles(socket, [fd])
  if (result < 0) throw refusal('sendmsg', result, socket)
}

const NONE = 0xffff_ffff // -1 as 32 bits

/** A file of ours under a number of the task's, taken back when disposed of. */
export class LentFile {
  readonly #remote: Remote
  readonly #thread: Thread
  /** The pair and the file, as far as the task has them by now. */
  #numbers: readonly [number, number, number] = [NONE, NONE, NONE]

  /** Throws `refused` when the task cannot have three more descriptors (EMFILE). */
  constructor(remote: Remote, thread: Thread, ours: number) {
    this.#remote = remote
    this.#thread = thread
    try {
      this.#makePair()
      using pidfd = new OpenFile(must('pidfd_open', remote.pid, 0))
      using end = new OpenFile(must('pidfd_getfd', pidfd.fd, this.#numbers[1], 0))
      send(end.fd, ours)
      this.#receive()
    } catch (error) {
      this[Symbol.dispose]()
      throw error
    }
  }

  /** The number that the task has it under. */
  get fd(): number {
    return this.#numbers[2]
  }

  // Which numbers the task gets is not known before: another of its threads may hold one that no file is at yet, as in an
  // open(2) or accept(2) that waits. So the task itself brings them to the undo calls, in the very table that got them.
  #makePair(): void {
    const { remote, thread } = { remote: this.#remote, thread: this.#thread }
    using table = remote.table(thread)
    const closes = this.protect(table)
    const pair = table.take(8)
    table.call('socketpair', [AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair])
    table.copyWords([
      [pair, closes[0]],
      [pair + 4, closes[1]],
    ])
    // Only a table that was started has put there what is to be closed.
    table.start()
    try {
      table.finish()
    } finally {
      this.#numbers = [this.#wordAt(closes[0]), this.#wordAt(closes[1]), NONE]
    }
  }

  // Not from the table: what it has done counts also when reading its results fails.
  #wordAt(address: number): number {
    const word = new DataView(new ArrayBuffer(4))
    word.setUint32(0, NONE)
    undo(`asking ${this.#remote.pid} what it was lent`, () => {
      new Uint8Array(word.buffer).set(readMemory(this.#remote.pid, address, 4))
    })
    return word.getUint32(0, true)
  }

  #receive(): void {
    const { remote, thread } = { remote: this.#remote, thread: this.#thread }
    using table = remote.table(thread)
    const closes = this.protect(table)
    const byte = table.take(8)
    const iov = table.words([BigInt(byte), 1n])
    const control = table.words([0n, 0n, BigInt(NONE)])
    const header = table.words([0n, 0n, BigInt(iov), 1n, BigInt(control), BigInt(CMSG_SIZE), 0n])
    table.call('recvmsg', [this.#numbers[0], header, MSG_CMSG_CLOEXEC])
    table.copyWords([[control + 16, closes[2]]])
    table.start()
    try {
      table.finish()
    } finally {
      const [first, second] = this.#numbers
      this.#numbers = [first, second, this.#wordAt(closes[2])]
    }
    // A task at its limit of descriptors gets none, and no error (recvmsg(2), MSG_CTRUNC).
    if (this.fd === NONE)
      throw new BardoError('refused', 'the process cannot have another descriptor', {
        errno: EMFILE,
        where: `pid ${remote.pid}`,
      })
  }

  /** A task that loses us closes what it was lent: to be said of every table while the file is out. */
  protect(table: Table): [number, number, number] {
    const close = (fd: number): number => table.undo('close', [fd])
    const [first, second, third] = this.#numbers
    return [close(first), close(second), close(third)]
  }

  [Symbol.dispose](): void {
    const open = this.#numbers.filter(fd => fd !== NONE)
    if (open.length === 0) return
    const done = undo(`closing what was lent to ${this.#remote.pid}`, () => {
      // Beside the tail and the undo calls of the last table, which are good until this one runs; behind it they would
      // be wrong, since other threads could have got the same numbers.
      const start = this.#remote.start + TAIL_SIZE
      using table = this.#remote.table(this.#thread, start, start + CLOSING_SIZE)
      for (const fd of open) table.call('close', [fd], { mayFail: true })
      table.run()
    })
    if (!done)
      log.warn('tracee/lend', `descriptors ${open.join(' ')} of ${this.#remote.pid} stayed open, if it has not ended`)
    this.#numbers = [NONE, NONE, NONE]
  }
}
