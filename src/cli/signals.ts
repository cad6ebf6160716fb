// SIGHUP, SIGINT and SIGTERM, noted by a few bytes of own machine code: the default action would kill the tracer in the
// middle of a freeze. Without SA_RESTART, so that a wait4 that would last for ever answers EINTR and the engine can look.
import { installInterrupts } from '../base/interrupt.ts'
import { once } from '../base/run.ts'
import { MAP_ANONYMOUS, MAP_PRIVATE, PROT_READ, PROT_WRITE } from '../linux/constants.ts'
import { bytesAt } from '../linux/ffi.ts'
import { actionOfCode, setUnlessIgnored } from '../linux/signal-action.ts'
import { must } from '../linux/sys.ts'

const PAGE = 4096
const SIGNALS = [1, 2, 15]

// The handler: mov rax, FLAG; mov [rax], edi; ret.
const HANDLER = Uint8Array.of(0x48, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0x89, 0x38, 0xc3)
const HANDLER_FLAG_AT = 2

const handler = once(() => {
  const flag = must('mmap', 0, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
  const code = HANDLER.slice()
  new DataView(code.buffer).setBigUint64(HANDLER_FLAG_AT, BigInt(flag), true)
  return { action: actionOfCode(code), noted: new DataView(bytesAt(flag, 4).buffer) }
})

/** From here on the three signals are noted, and `interrupted()` tells which. Before the first PTRACE_SEIZE. */
export function noteSignals(): void {
  const { action, noted } = handler()
  noted.setInt32(0, 0, true)
  for (const signal of SIGNALS) setUnlessIgnored(signal, action)
  installInterrupts(() => noted.getInt32(0, true))
}
