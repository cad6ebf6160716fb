// What signals do to us: actions, and handlers that are a few bytes of own machine code. A handler in JavaScript would run
// only when the engine yields, and what waits by a system call never does.
import { MAP_ANONYMOUS, MAP_PRIVATE, PROT_EXEC, PROT_READ, PROT_WRITE } from './constants.ts'
import { bytesAt } from './ffi.ts'
import { must, scratch } from './sys.ts'

const PAGE = 4096
const SA_RESTORER = 0x0400_0000
/** struct sigaction as the kernel has it: handler, flags, restorer, mask (arch/x86/include/uapi/asm/signal.h). */
const SIGACTION_SIZE = 32
const SIGSET_SIZE = 8
export const [SIG_DFL, SIG_IGN] = [0n, 1n]

// The restorer: mov eax, 15 (rt_sigreturn); syscall.
const RESTORER = Uint8Array.of(0xb8, 0x0f, 0, 0, 0, 0x0f, 0x05)
const RESTORER_AT = 64

/** The action of `signal`, 32 bytes; with `action`, it is set. */
export function sigaction(signal: number, action?: Uint8Array): Uint8Array {
  const mark = scratch.mark()
  try {
    const at = scratch.take(SIGACTION_SIZE)
    must('rt_sigaction', signal, action ?? 0, at, SIGSET_SIZE)
    return scratch.at(at, SIGACTION_SIZE).slice()
  } finally {
    scratch.release(mark)
  }
}

const actionOf = (handler: bigint, flags = 0n, restorer = 0n): Uint8Array =>
  new Uint8Array(BigUint64Array.of(handler, flags, restorer, 0n).buffer)

const handlerOf = (action: Uint8Array): bigint => new BigUint64Array(action.buffer.slice(0, 8))[0]!

/** Sets the action of `signal` to SIG_DFL or SIG_IGN; what it was. */
export const setAction = (signal: number, handler: bigint): Uint8Array => sigaction(signal, actionOf(handler))

/** Sets an action as `setAction` told it. */
export const putAction = (signal: number, action: Uint8Array): void => void sigaction(signal, action)

/** The action that runs `code`, of at most 64 bytes, in a page that is never unmapped: a handler may just be running. */
export function actionOfCode(code: Uint8Array, flags = 0): Uint8Array {
  const page = must('mmap', 0, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
  const bytes = bytesAt(page, PAGE)
  bytes.set(code)
  bytes.set(RESTORER, RESTORER_AT)
  must('mprotect', page, PAGE, PROT_READ | PROT_EXEC)
  return actionOf(BigInt(page), BigInt(flags | SA_RESTORER), BigInt(page + RESTORER_AT))
}

/** Sets `action`, unless the signal is ignored: who started us so (nohup) wants it. What it was, undefined if it stays. */
export function setUnlessIgnored(signal: number, action: Uint8Array): Uint8Array | undefined {
  const before = sigaction(signal)
  if (handlerOf(before) === SIG_IGN) return undefined
  sigaction(signal, action)
  return before
}
