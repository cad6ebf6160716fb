// Signals as things to be read: a few bytes of own machine code write each siginfo into a pipe. A number in memory, looked
// at before a call that waits, may be set between the two.
import { EINTR, O_CLOEXEC, O_NONBLOCK } from './constants.ts'
import { syscall } from './ffi.ts'
import { NR } from './nr.ts'
import { actionOfCode, putAction, setUnlessIgnored } from './signal-action.ts'
import { must, scratch } from './sys.ts'

const SA_SIGINFO = 4
const SIGINFO_SIZE = 128
/** The siginfo is the second argument: mov edi, FD; mov edx, 128; mov eax, 1 (write); syscall; ret. */
const HANDLER = Uint8Array.of(0xbf, 0, 0, 0, 0, 0xba, 0x80, 0, 0, 0, 0xb8, 1, 0, 0, 0, 0x0f, 0x05, 0xc3)
const HANDLER_FD_AT = 1

/** What is read of a siginfo: `code` tells who sent it (sigaction(2)), `pid` where that is a process. */
export type Signal = { readonly signo: number; readonly code: number; readonly pid: number }

/** From its making until it is disposed of, `signals` come here. Those that are ignored stay so. */
export class SignalPipe {
  /** Readable when a signal has come. */
  readonly fd: number
  readonly #end: number
  readonly #before = new Map<number, Uint8Array>()

  constructor(signals: readonly number[]) {
    const mark = scratch.mark()
    const pair = scratch.take(8)
    must('pipe2', pair, O_CLOEXEC | O_NONBLOCK)
    this.fd = scratch.view.getInt32(pair - scratch.address, true)
    this.#end = scratch.view.getInt32(pair + 4 - scratch.address, true)
    scratch.release(mark)
    const code = HANDLER.slice()
    new DataView(code.buffer).setInt32(HANDLER_FD_AT, this.#end, true)
    const action = actionOfCode(code, SA_SIGINFO)
    for (const signal of signals) {
      const before = setUnlessIgnored(signal, action)
      if (before !== undefined) this.#before.set(signal, before)
    }
  }

  /** The next signal that has come, if one has. */
  next(): Signal | undefined {
    const mark = scratch.mark()
    try {
      const at = scratch.take(SIGINFO_SIZE)
      for (;;) {
        const count = syscall(NR.read, this.fd, at, SIGINFO_SIZE)
        if (count === -EINTR) continue
        if (count < SIGINFO_SIZE) return undefined
        const word = (offset: number): number => scratch.view.getInt32(at - scratch.address + offset, true)
        return { signo: word(0), code: word(8), pid: word(16) }
      }
    } finally {
      scratch.release(mark)
    }
  }

  [Symbol.dispose](): void {
    for (const [signal, action] of this.#before) putAction(signal, action)
    for (const fd of [this.fd, this.#end]) syscall(NR.close, fd)
  }
}
