// Open files on their way from us to the tasks: one socket that all tasks inherit, and SCM_RIGHTS.
import { BardoError } from '../base/errors.ts'
import {
  AF_UNIX,
  FD_CLOEXEC,
  F_DUPFD,
  F_GETFD,
  F_SETFD,
  MSG_CMSG_CLOEXEC,
  O_CLOEXEC,
  SOCK_CLOEXEC,
  SOCK_SEQPACKET,
} from '../linux/constants.ts'
import { ENTRY_SIZE } from '../linux/arch/x86-64.ts'
import { syscall } from '../linux/ffi.ts'
import { NR } from '../linux/nr.ts'
import { sendFiles } from '../linux/send-file.ts'
import { must, refusal, scratch } from '../linux/sys.ts'
import type { Remote } from '../tracee/remote.ts'
import type { Thread } from '../tracee/stopped.ts'
import type { Table } from '../tracee/table.ts'

/** The kernel's limit of descriptors in one message (SCM_MAX_FD). */
const PASS_MAX = 253
const CMSG_HEADER = 16
/** More are passed by themselves: their moves would fill a table. */
const GATHERED_MAX = 16

type Receiver = { readonly thread: Thread; readonly remote: Remote }

/** A file of ours for descriptor `number` of a task. */
export type Placed = { readonly ours: number; readonly number: number; readonly cloexec: boolean }

/** Files that a table of calls receives: to be sent right before it is run, and looked for if it has failed. */
export type Gathered = { readonly send: () => void; readonly check: () => void }

/** The room in a table that receiving `files` takes; undefined where they need several messages. */
export const gathersIn = (files: readonly Placed[]): number | undefined =>
  files.length > GATHERED_MAX ? undefined : 256 + files.length * (2 * ENTRY_SIZE + 8)

/** The two ends: ours, and the one that every task has as descriptor `number`. */
export class PassSocket {
  readonly number: number
  readonly #ours: number

  /** Throws when `number` is taken in us, who hand it down. */
  constructor(number: number) {
    const mark = scratch.mark()
    const pair = scratch.take(8)
    must('socketpair', AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair)
    this.#ours = scratch.view.getInt32(pair - scratch.address, true)
    const other = scratch.view.getInt32(pair + 4 - scratch.address, true)
    scratch.release(mark)
    this.number = must('fcntl', other, F_DUPFD, number)
    syscall(NR.close, other)
    if (this.number !== number) throw new BardoError('bug', `descriptor ${number} is not free`)
  }

  [Symbol.dispose](): void {
    syscall(NR.close, this.#ours)
    syscall(NR.close, this.number)
  }

  #send(files: readonly number[]): void {
    const result = sendFiles(this.#ours, files)
    if (result < 0) throw refusal('sendmsg', result, this.#ours)
  }

  /** Adds the call that receives what was sent; the check that all have come, whose answer is in the table's memory. */
  #receiveIn(table: Table, count: number, flags: number): { readonly check: () => void; readonly control: number } {
    const byte = table.take(8)
    const iov = table.words([BigInt(byte), 1n])
    const room = Math.ceil((CMSG_HEADER + count * 4) / 8) * 8
    const control = table.take(room)
    const header = table.words([0n, 0n, BigInt(iov), 1n, BigInt(control), BigInt(room), 0n])
    const call = table.call('recvmsg', [this.number, header, flags])
    const check = (): void => {
      const result = table.result(call)
      if (result < 0) throw refusal('recvmsg', result, this.number)
      // A task at its limit of descriptors gets fewer than were sent, and no error (recvmsg(2), MSG_CTRUNC).
      const got = (Number(table.word64(control)) - CMSG_HEADER) / 4
      if (got < count)
        throw new BardoError('refused', `a task could take ${Math.max(0, got)} of ${count} open files`, {
          errno: 24,
          hint: 'raise the hard limit of open files (RLIMIT_NOFILE) of the restore',
        })
    }
    return { check, control }
  }

  /** Gives files to a task for a while, at whatever numbers: those, the lowest free ones in their order. */
  lend(to: Receiver, files: readonly number[]): number[] {
    const numbers: number[] = []
    for (let first = 0; first < files.length; first += PASS_MAX) {
      const batch = files.slice(first, first + PASS_MAX)
      using table = to.remote.table(to.thread, to.remote.start, to.remote.start + roomFor(batch.length))
      const { check, control } = this.#receiveIn(table, batch.length, MSG_CMSG_CLOEXEC)
      this.#send(batch)
      table.run()
      check()
      for (let index = 0; index < batch.length; index++) numbers.push(table.word32(control + CMSG_HEADER + 4 * index))
    }
    return numbers
  }

  /**
   * Gives a task its descriptors. Its table must be empty but for the socket: received files get the lowest free numbers
   * in their order, and a list sorted by number never needs to move one below where it lands; so, beginning with the
   * highest, each can go to its place without meeting another (test/kernel/scm-rights-order.test.ts).
   */
  place(to: Receiver, files: readonly Placed[]): void {
    const sorted = files.toSorted((a, b) => a.number - b.number)
    for (let end = sorted.length; end > 0; end -= PASS_MAX) {
      const batch = sorted.slice(Math.max(0, end - PASS_MAX), end)
      using table = to.remote.table(to.thread, to.remote.start, to.remote.start + roomFor(batch.length))
      const { send, check } = this.#placeIn(table, batch)
      send()
      table.run()
      check()
    }
  }

  /** `place` of a few files, by a table that does other things too. */
  gather(table: Table, files: readonly Placed[]): Gathered {
    return this.#placeIn(
      table,
      files.toSorted((a, b) => a.number - b.number),
    )
  }

  #placeIn(table: Table, sorted: readonly Placed[]): Gathered {
    const { check } = this.#receiveIn(table, sorted.length, 0)
    for (let index = sorted.length - 1; index >= 0; index--) {
      const { number, cloexec } = sorted[index]!
      if (number !== index) {
        table.call('dup3', [index, number, cloexec ? O_CLOEXEC : 0])
        table.call('close', [index])
      } else if (cloexec) table.call('fcntl', [index, F_SETFD, FD_CLOEXEC])
      // Where nobody reads what has come, this call fails if the last file has not.
      else if (index === sorted.length - 1) table.call('fcntl', [index, F_GETFD])
    }
    return { send: () => this.#send(sorted.map(({ ours }) => ours)), check }
  }
}

/** Two calls for each file that is moved, and its place in the message. */
const roomFor = (files: number): number => 4096 + files * (2 * ENTRY_SIZE + 8)
