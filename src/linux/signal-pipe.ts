// Signals as things to be read: a few bytes of own machine code write each siginfo into a pipe. A handler in JavaScript
// would run only when the engine yields, and what waits for a child by a system call never does; a number in memory,
// looked at before a call that waits, may be set between the two.
import { EINTR, O_CLOEXEC, O_NONBLOCK } from './constants.ts'
import { bytesAt, syscall } from './ffi.ts'
import { NR } from './nr.ts'
import { must, scratch } from './sys.ts'

const PAGE = 4096
const [PROT_READ, PROT_WRITE, PROT_EXEC] = [1, 2, 4]
const [MAP_PRIVATE, MAP_ANONYMOUS] = [2, 32]
const [SA_SIGINFO, SA_RESTORER] = [4, 0x0400_0000]
/** struct sigaction as the kernel has it: handler, flags, restorer, mask (arch/x86/include/uapi/asm/signal.h). */
const SIGACTION_SIZE = 32
const SIGSET_SIZE = 8
export const [SIG_DFL, SIG_IGN] = [0n, 1n]

const SIGINFO_SIZE = 128
/** The siginfo is the second argument: mov edi, FD; mov edx, 128; mov eax, 1 (write); syscall; ret. */
const HANDLER = Uint8Array.of(0xbf, 0, 0, 0, 0, 0xba, 0x80, 0, 0, 0, 0xb8, 1, 0, 0, 0, 0x0f, 0x05, 0xc3)
const HANDLER_FD_AT = 1
// The restorer: mov eax, 15 (rt_sigreturn); syscall.
const RESTORER = Uint8Array.of(0xb8, 0x0f, 0, 0, 0, 0x0f, 0x05)
const RESTORER_AT = 64

/** The action of `signal`, 32 bytes; with `action`, it is set. */
function sigaction(signal: number, action?: Uint8Array): Uint8Array {
  const mark = scratch.mark()
  try {
    const at = scratch.take(SIGACTION_SIZE)
    must('rt_sigaction', signal, action ?? 0, at, SIGSET_SIZE)
    return scratch.at(at, SIGACTION_SIZE).slice()
  } finally {
    scratch.release(mark)
  }
}

function actionOf(handler: bigint, flags = 0n, restorer = 0n): Uint8Array {
  return new Uint8Array(BigUint64Array.of(handler, flags, restorer, 0n).buffer)
}

const handlerOf = (action: Uint8Array): bigint => new BigUint64Array(action.buffer.slice(0, 8))[0]!

/** Sets the action of `signal` to SIG_DFL or SIG_IGN; what it was. */
export const setAction = (signal: number, handler: bigint): Uint8Array => sigaction(signal, actionOf(handler))

/** Sets an action as `setAction` told it. */
export const putAction = (signal: number, action: Uint8Array): void => void sigaction(signal, action)

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
    const code = must('mmap', 0, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    const bytes = bytesAt(code, PAGE)
    bytes.set(HANDLER)
    new DataView(bytes.buffer, bytes.byteOffset).setInt32(HANDLER_FD_AT, this.#end, true)
    bytes.set(RESTORER, RESTORER_AT)
    must('mprotect', code, PAGE, PROT_READ | PROT_EXEC)
    const action = actionOf(BigInt(code), BigInt(SA_SIGINFO | SA_RESTORER), BigInt(code + RESTORER_AT))
    for (const signal of signals) {
      const before = sigaction(signal)
      // Who started us ignoring a signal (nohup) wants it ignored.
      if (handlerOf(before) === SIG_IGN) continue
      this.#before.set(signal, before)
      sigaction(signal, action)
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

  /** The page of code stays: a handler may just be running. */
  [Symbol.dispose](): void {
    for (const [signal, action] of this.#before) sigaction(signal, action)
    for (const fd of [this.fd, this.#end]) syscall(NR.close, fd)
  }
}
