// Who puts the user's terminals back when we are killed so that we cannot (SIGKILL, a crash): a process of some eighty bytes of
// own machine code, which waits for the end of a pipe that is open in us alone, and then makes the calls that we last told it.
import { ask } from '../kinds/tty/device.ts'
import { termiosBytes, winsizeBytes, type Termios } from '../kinds/tty/termios.ts'
import type { winsize_entry } from '../image/messages/tty.ts'
import { EINTR, O_CLOEXEC, SIG_SETMASK, TCSETS2, TIOCGPGRP, TIOCSPGRP, TIOCSWINSZ, WALL } from '../linux/constants.ts'
import { syscall } from '../linux/ffi.ts'
import { NR } from '../linux/nr.ts'
import { must, scratch, sys } from '../linux/sys.ts'
import { startCode } from '../program/spawn.ts'
import { log } from '../base/log.ts'

/** Below all that programs have, above what mmap_min_addr forbids; nothing else is in its memory. */
const ADDRESS = 0x200000
/** A message: calls, then what they point at. It lies behind the code, in the rest of the page. */
const [ROOM_AT, ROOM] = [0x400, 0xa00]
const [CALL_SIZE, CALLS_MAX] = [24, 32]
const DATA_AT = CALLS_MAX * CALL_SIZE
const F_DUPFD = 0

const u32 = (value: number): number[] => [...new Uint8Array(Uint32Array.of(value).buffer)]

/**
 * In a group of its own, so that what is meant for ours does not stop or end it. All signals are blocked, so that it may set the
 * terminal from there (test/kernel/tty-background-blocked.test.ts); and it is woken before the shell is told that we are
 * dead (test/kernel/killed-files-first.test.ts).
 */
function code(pipe: number): Uint8Array {
  const room = ADDRESS + ROOM_AT
  const parts = [
    [0x31, 0xff], // xor edi, edi
    [0x31, 0xf6], // xor esi, esi
    [0xb8, ...u32(NR.setpgid)], // mov eax, setpgid
    [0x0f, 0x05], // syscall
    [0xbf, ...u32(pipe)], // wait: mov edi, PIPE
    [0xbe, ...u32(room)], // mov esi, ROOM
    [0xba, ...u32(ROOM)], // mov edx, its size
    [0x31, 0xc0], // xor eax, eax (read)
    [0x0f, 0x05], // syscall
    [0x83, 0xf8, 0x01], // cmp eax, 1: all is well
    [0x74, 0x2c], // je end
    [0x7f, 0xe6], // jg wait: told anew
    [0xbb, ...u32(room)], // mov ebx, ROOM
    [0x8b, 0x03], // next: mov eax, [rbx]
    [0x85, 0xc0], // test eax, eax
    [0x74, 0x1f], // jz end
    [0x8b, 0x7b, 0x04], // mov edi, [rbx+4]
    [0x8b, 0x73, 0x08], // mov esi, [rbx+8]
    [0x8b, 0x53, 0x0c], // mov edx, [rbx+12]
    [0x0f, 0x05], // syscall
    [0x8b, 0x4b, 0x10], // mov ecx, [rbx+16]
    [0x85, 0xc9], // test ecx, ecx
    [0x74, 0x07], // jz on
    [0x8b, 0x43, 0x14], // mov eax, [rbx+20]
    [0x39, 0x01], // cmp [rcx], eax
    [0x74, 0x06], // je end
    [0x48, 0x83, 0xc3, CALL_SIZE], // on: add rbx, 24
    [0xeb, 0xdb], // jmp next
    [0x31, 0xff], // end: xor edi, edi
    [0xb8, ...u32(NR.exit_group)], // mov eax, exit_group
    [0x0f, 0x05], // syscall
  ]
  return Uint8Array.from(parts.flat())
}

/** The group that a terminal shows; undefined where it is not our controlling terminal. */
export function shownGroup(fd: number): number | undefined {
  const answer = ask(fd, TIOCGPGRP, 4)
  return typeof answer === 'number' ? undefined : new DataView(answer.buffer).getInt32(0, true)
}

const NO_GROUP = -1

/**
 * The group of our session's leader, a shell: while that is shown, we are in the background, whatever we believe. None where it is
 * ours too: then a script has called us, or nobody.
 */
export function leadersGroup(): number {
  const leaders = sys('getpgid', must('getsid', 0))
  return leaders === must('getpgid', 0) ? NO_GROUP : leaders
}

/** How a terminal is to be when we are gone. */
export type Kept = {
  /** One of the descriptors that the guard was made with. */
  readonly fd: number
  readonly termios: Termios
  readonly winsize?: winsize_entry | undefined
  /** Of our controlling terminal: the group to be shown; nothing is done while `except`, the shell's own, is shown. */
  readonly shown?: { readonly group: number; readonly except: number }
}

/** `using`: from its making on, killed or not, we leave terminals as `keep` was last told. */
export class Guard {
  readonly #pid: number
  readonly #pipe: number
  /** Our descriptors and the guard's own of the same terminals. */
  readonly #numbers = new Map<number, number>()

  /** Made when the restored tree runs: before, it might take a pid that the tree is to have. */
  constructor(fds: readonly number[]) {
    const mark = scratch.mark()
    const pair = scratch.take(8)
    must('pipe2', pair, O_CLOEXEC)
    const [end, pipe] = [0, 4].map(at => scratch.view.getInt32(pair - scratch.address + at, true)) as [number, number]
    scratch.release(mark)
    // What is to be inherited, for as long as it takes.
    const copies = [end, ...new Set(fds)].map(fd => must('fcntl', fd, F_DUPFD, 3))
    ;[...new Set(fds)].forEach((fd, index) => this.#numbers.set(fd, copies[index + 1]!))
    const mask = blockAll()
    try {
      this.#pid = startCode(code(copies[0]!), ADDRESS, { pid: 0, exitSignal: 0, hasRoom: true })
    } finally {
      must('rt_sigprocmask', SIG_SETMASK, mask, 0, mask.length)
      for (const fd of [end, ...copies]) sys('close', fd)
    }
    this.#pipe = pipe
    // It is for the case that we are killed: without it all is as it would be anyway.
    if (this.#pid < 0)
      log.warn('restore', `nobody will put the terminal in order if we are killed: errno ${-this.#pid}`)
  }

  /** What is to be done when we are gone: nothing, for an empty list. */
  keep(terminals: readonly Kept[]): void {
    const calls = terminals.flatMap(kept => callsFor(kept, this.#numbers.get(kept.fd)!))
    const message = new Uint8Array(ROOM)
    const view = new DataView(message.buffer)
    let data = DATA_AT
    for (const [index, { request, fd, bytes, unless }] of calls.slice(0, CALLS_MAX - 1).entries()) {
      const at = ADDRESS + ROOM_AT + data
      message.set(bytes, data)
      const words = [NR.ioctl, fd, request, at, unless === undefined ? 0 : at, unless ?? 0]
      words.forEach((word, word_index) => view.setUint32(index * CALL_SIZE + 4 * word_index, word, true))
      data += (bytes.length + 7) & ~7
    }
    // At most PIPE_BUF bytes, and always as many: each read takes one message.
    sys('write', this.#pipe, message, ROOM)
  }

  [Symbol.dispose](): void {
    sys('write', this.#pipe, Uint8Array.of(1), 1)
    sys('close', this.#pipe)
    // Reaped by us: where there is no init that does it, nothing is to be left.
    if (this.#pid > 0) while (syscall(NR.wait4, this.#pid, 0, WALL, 0) === -EINTR);
  }
}

type Call = { readonly fd: number; readonly request: number; readonly bytes: Uint8Array; readonly unless?: number }

function callsFor({ termios, winsize, shown }: Kept, fd: number): Call[] {
  const calls: Call[] = []
  if (shown !== undefined) {
    calls.push({ fd, request: TIOCGPGRP, bytes: new Uint8Array(4), unless: shown.except })
    calls.push({ fd, request: TIOCSPGRP, bytes: new Uint8Array(Int32Array.of(shown.group).buffer) })
  }
  calls.push({ fd, request: TCSETS2, bytes: termiosBytes(termios) })
  if (winsize !== undefined) calls.push({ fd, request: TIOCSWINSZ, bytes: winsizeBytes(winsize) })
  return calls
}

/** Blocks every signal; what was blocked before. */
function blockAll(): Uint8Array {
  const mark = scratch.mark()
  try {
    const before = scratch.take(8)
    must('rt_sigprocmask', SIG_SETMASK, new Uint8Array(8).fill(0xff), before, 8)
    return scratch.at(before, 8).slice()
  } finally {
    scratch.release(mark)
  }
}
