// SIGHUP, SIGINT and SIGTERM, noted by a few bytes of own machine code. A handler in JavaScript would run only when the
// engine yields, and the engine never does; the default action would kill the tracer in the middle of a freeze.
// Without SA_RESTART, so that a wait4 that would last for ever answers EINTR and the engine can look.
import { installInterrupts } from '../base/interrupt.ts'
import { bytesAt } from '../linux/ffi.ts'
import { must, scratch } from '../linux/sys.ts'

const PAGE = 4096
const [PROT_READ, PROT_WRITE, PROT_EXEC] = [1, 2, 4]
const [MAP_PRIVATE, MAP_ANONYMOUS] = [2, 32]
const SA_RESTORER = 0x0400_0000
const SIG_IGN = 1n
/** struct sigaction as the kernel has it: handler, flags, restorer, mask (arch/x86/include/uapi/asm/signal.h). */
const SIGACTION_SIZE = 32
const SIGSET_SIZE = 8
const SIGNALS = [1, 2, 15]

// The handler: mov rax, FLAG; mov [rax], edi; ret.
const HANDLER = Uint8Array.of(0x48, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0x89, 0x38, 0xc3)
const HANDLER_FLAG_AT = 2
// The restorer: mov eax, 15 (rt_sigreturn); syscall.
const RESTORER = Uint8Array.of(0xb8, 0x0f, 0, 0, 0, 0x0f, 0x05)
const RESTORER_AT = 64

function sigaction(signal: number, handler: bigint, code: number): void {
  const mark = scratch.mark()
  const at = scratch.take(SIGACTION_SIZE)
  const view = new DataView(scratch.bytes.buffer, at - scratch.address, SIGACTION_SIZE)
  must('rt_sigaction', signal, 0, at, SIGSET_SIZE)
  // Who started us ignoring a signal (nohup) wants it ignored.
  if (view.getBigUint64(0, true) !== SIG_IGN) {
    view.setBigUint64(0, handler, true)
    view.setBigUint64(8, BigInt(SA_RESTORER), true)
    view.setBigUint64(16, BigInt(code + RESTORER_AT), true)
    view.setBigUint64(24, 0n, true)
    must('rt_sigaction', signal, at, 0, SIGSET_SIZE)
  }
  scratch.release(mark)
}

/** From here on the three signals are noted, and `interrupted()` tells which. Before the first PTRACE_SEIZE. */
export function noteSignals(): void {
  const map = (prot: number): number => must('mmap', 0, PAGE, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
  const flag = map(PROT_READ | PROT_WRITE)
  const code = map(PROT_READ | PROT_WRITE)
  const bytes = bytesAt(code, PAGE)
  bytes.set(HANDLER)
  new DataView(bytes.buffer, bytes.byteOffset).setBigUint64(HANDLER_FLAG_AT, BigInt(flag), true)
  bytes.set(RESTORER, RESTORER_AT)
  must('mprotect', code, PAGE, PROT_READ | PROT_EXEC)
  for (const signal of SIGNALS) sigaction(signal, BigInt(code), code)
  const noted = new DataView(bytesAt(flag, 4).buffer)
  installInterrupts(() => noted.getInt32(0, true))
}
