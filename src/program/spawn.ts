// The first process: made without a fork of the runtime, whose memory no child could use. A vfork that runs machine code
// only, and an executable of a few bytes that waits to be seized.
import { BardoError } from '../base/errors.ts'
import { once, perRun } from '../base/run.ts'
import {
  AT_EMPTY_PATH,
  CLONE_PARENT,
  CLONE_VFORK,
  CLONE_VM,
  ENOSYS,
  EPERM,
  MREMAP_FIXED,
  MREMAP_MAYMOVE,
  PAGE_SIZE,
  PTRACE_EVENT_STOP,
  SIGCHLD,
  SIGKILL,
} from '../linux/constants.ts'
import { REG, type Registers } from '../linux/arch/x86-64.ts'
import { Arena, loadCode, machineCode } from '../linux/ffi.ts'
import { NR } from '../linux/nr.ts'
import { parseMaps, parseSpecial, type Mapping } from '../linux/proc/maps.ts'
import { OpenFile, must, readFile, refusal, sys } from '../linux/sys.ts'
import { getRegisters, interrupt, resume, setRegisters, step, trySeize, waitFor } from '../tracee/ptrace.ts'
import type { Places } from './program.ts'

const PTRACE_O_EXITKILL = 1 << 20

// rdi: block of words [clone_args, size, fd, "", argv, envp, flags, result].
// clone3; in the child execveat(fd, "", argv, envp, AT_EMPTY_PATH), and exit(127) where that fails. The parent is held by
// CLONE_VFORK until the child has left our memory; it must not find its return address overwritten, so that the child
// touches no stack below it (it never returns).
const CODE = machineCode(
  '53', // push rbx
  '4889fb', // mov rbx, rdi
  '488b3b', // mov rdi, [rbx]
  '488b7308', // mov rsi, [rbx+8]
  'b8b3010000', // mov eax, 435 (clone3)
  '0f05', // syscall
  '4885c0', // test rax, rax
  '7406', // jz child
  '48894338', // mov [rbx+56], rax
  '5b', // pop rbx
  'c3', // ret
  '488b7b10', // child: mov rdi, [rbx+16]
  '488b7318', // mov rsi, [rbx+24]
  '488b5320', // mov rdx, [rbx+32]
  '4c8b5328', // mov r10, [rbx+40]
  '4c8b4330', // mov r8, [rbx+48]
  'b842010000', // mov eax, 322 (execveat)
  '0f05', // syscall
  'bf7f000000', // mov edi, 127
  'b83c000000', // mov eax, 60 (exit)
  '0f05', // syscall
)

/**
 * Waits on the socket that it inherits, and ends when its other end, which is ours alone, is closed: so it does not
 * outlive us if we are killed before we have seized it. Its first `syscall` serves for the first calls made in it.
 */
function waiter(socket: number): Uint8Array {
  const code = machineCode(
    '31c0', // xor eax, eax (read)
    'bf00000000', // mov edi, socket
    '4889e6', // mov rsi, rsp
    'ba01000000', // mov edx, 1
    '0f05', // syscall
    '31ff', // xor edi, edi
    'b8e7000000', // mov eax, 231 (exit_group)
    '0f05', // syscall
  )
  new DataView(code.buffer).setInt32(3, socket, true)
  return code
}
const WAITER_SYSCALL = 15

const ELF_HEADER = 64
const PROGRAM_HEADER = 56

/** Where the code of an executable lies behind its address. */
const CODE_AT = ELF_HEADER + 2 * PROGRAM_HEADER

/** A static executable whose one page lies at `address` (elf(5)); `hasRoom` has it written to behind the code. */
export function executable(address: number, code: Uint8Array, hasRoom: boolean): Uint8Array {
  const bytes = new Uint8Array(ELF_HEADER + 2 * PROGRAM_HEADER + code.length)
  const view = new DataView(bytes.buffer)
  bytes.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1])
  view.setUint16(16, 2, true) // ET_EXEC
  view.setUint16(18, 62, true) // EM_X86_64
  view.setUint32(20, 1, true)
  view.setBigUint64(24, BigInt(address + CODE_AT), true) // entry
  view.setBigUint64(32, BigInt(ELF_HEADER), true) // program headers
  view.setUint16(52, ELF_HEADER, true)
  view.setUint16(54, PROGRAM_HEADER, true)
  view.setUint16(56, 2, true)
  let at = ELF_HEADER
  view.setUint32(at, 1, true) // PT_LOAD
  view.setUint32(at + 4, hasRoom ? 7 : 5, true) // readable, executable, and perhaps writable
  view.setBigUint64(at + 16, BigInt(address), true)
  view.setBigUint64(at + 24, BigInt(address), true)
  view.setBigUint64(at + 32, BigInt(bytes.length), true)
  view.setBigUint64(at + 40, BigInt(hasRoom ? PAGE_SIZE : bytes.length), true)
  view.setBigUint64(at + 48, BigInt(PAGE_SIZE), true)
  at += PROGRAM_HEADER
  view.setUint32(at, 0x6474e551, true) // PT_GNU_STACK, not executable: without it every mapping would be
  view.setUint32(at + 4, 6, true)
  bytes.set(code, CODE_AT)
  return bytes
}

const [MFD_CLOEXEC, MFD_EXEC] = [1, 0x10]

/** Since Linux 6.3 a memfd that is to be run must say so where vm.memfd_noexec is 1; before, the flag is unknown. */
function executableMemfd(): number {
  const fd = sys('memfd_create', 'bardo', MFD_CLOEXEC | MFD_EXEC)
  return fd >= 0 ? fd : must('memfd_create', 'bardo', MFD_CLOEXEC)
}

const runs = once(() => loadCode(CODE))

/** The kernel's refusal to give a new process the pid of the image. */
function pidRefused(pid: number, errno: number): BardoError {
  const hints: Record<number, string> = {
    17: `end process ${pid}, or restore in a new pid namespace: unshare --pid --fork --mount-proc bardo restore …`,
    [EPERM]: 'run as root, or with CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN',
    [ENOSYS]: 'Linux 5.5 or newer is needed (clone3 with set_tid)',
    11: 'the limit of processes is reached: see pids.max of the control group, RLIMIT_NPROC and kernel.pid_max',
    22: `pid ${pid} is beyond kernel.pid_max: raise it with sysctl`,
  }
  return new BardoError('refused', `cannot make process ${pid}`, { errno, hint: hints[errno] })
}

/** struct clone_args (linux/sched.h) with a wanted id, as 88 bytes and the id's array behind them. */
export function cloneArgs(flags: number, exitSignal: number, pidArray: number, stack = 0, stackSize = 0): Uint8Array {
  const bytes = new Uint8Array(88)
  const words = new BigUint64Array(bytes.buffer)
  words[0] = BigInt(flags)
  words[4] = BigInt(exitSignal)
  words[5] = BigInt(stack)
  words[6] = BigInt(stackSize)
  words[8] = BigInt(pidArray)
  words[9] = pidArray === 0 ? 0n : 1n
  return bytes
}

export { pidRefused }

/** What `startCode` makes. A `pid` of 0 is the kernel's choice; `exitSignal` and `flags` are of clone(2). */
type Start = {
  readonly pid: number
  readonly flags?: number
  readonly exitSignal: number
  /** The rest of the page behind the code is zero, and may be written to. */
  readonly hasRoom?: boolean
}

/**
 * Makes a process that runs `code` at `address`, in memory of its own: a page, and the stack that exec gives. It has our descriptors
 * without FD_CLOEXEC, and our signal mask. Its pid, or `-errno`.
 */
export function startCode(code: Uint8Array, address: number, start: Start): number {
  using memfd = new OpenFile(executableMemfd())
  const elf = executable(address, code, start.hasRoom === true)
  const wrote = must('write', memfd.fd, elf, elf.length)
  if (wrote !== elf.length) throw new BardoError('refused', 'cannot write to a memfd')
  const arena = new Arena(PAGE_SIZE)
  try {
    const pids = arena.take(8)
    arena.view.setUint32(pids - arena.address, start.pid, true)
    const flags = CLONE_VM | CLONE_VFORK | (start.flags ?? 0)
    const args = arena.put(cloneArgs(flags, start.exitSignal, start.pid === 0 ? 0 : pids))
    const empty = arena.take(8)
    const argv = arena.take(16)
    arena.view.setBigUint64(argv - arena.address, BigInt(empty), true)
    const envp = arena.take(8)
    const block = arena.take(64)
    const words = [args, 88, memfd.fd, empty, argv, envp, AT_EMPTY_PATH, 0]
    words.forEach((word, index) => arena.view.setBigUint64(block - arena.address + index * 8, BigInt(word), true))
    runs()(block)
    return Number(arena.view.getBigInt64(block - arena.address + 56, true))
  } finally {
    arena.unmap()
  }
}

/**
 * Makes process `pid`, traced and stopped, with the scratch mapping in its memory; the calls that clear the rest of it.
 * It has our descriptors without FD_CLOEXEC. `options` are of PTRACE_SETOPTIONS.
 */
export function spawnRoot(pid: number, sibling: boolean, places: Places, options: number): SettleCall[] {
  const address = places.park
  const start = { pid, flags: sibling ? CLONE_PARENT : 0, exitSignal: sibling ? 0 : SIGCHLD }
  const result = startCode(waiter(places.socket), address, start)
  if (result < 0) throw pidRefused(pid, -result)
  try {
    seizeNew(pid, options)
    return settle(pid, address, places)
  } catch (error) {
    sys('kill', pid, SIGKILL)
    awaitEnd(pid)
    throw error
  }
}

function seizeNew(pid: number, options: number): void {
  const seized = trySeize(pid, options | PTRACE_O_EXITKILL)
  if (seized < 0) throw new BardoError('refused', `cannot trace the new process ${pid}`, { errno: -seized })
  interrupt(pid)
  for (;;) {
    const stop = waitFor(pid)
    if (stop.kind !== 'stopped')
      throw new BardoError('lost', `the new process ${pid} ended at once`, {
        why: stop.kind === 'exited' ? `exit status ${stop.code}: its executable was refused` : `signal ${stop.signal}`,
        hint: 'a security policy may forbid to run a memfd (vm.memfd_noexec, noexec mounts)',
      })
    if (stop.event === PTRACE_EVENT_STOP) return
    resume(pid, 0)
  }
}

/** Waits for the end of a process that was killed; one that is neither our child nor traced by us is its parent's. */
function awaitEnd(pid: number): void {
  try {
    while (waitFor(pid).kind === 'stopped') resume(pid)
  } catch {
    // It has been waited for already, or cannot be.
  }
}

/** One call by the `syscall` instruction at `at`; `registers` are any with which the process can run. */
export function callIn(pid: number, registers: Registers, at: number, nr: number, ...args: number[]): number {
  const regs = registers.slice()
  const order = [REG.di, REG.si, REG.dx, REG.r10, REG.r8, REG.r9]
  order.forEach((reg, index) => (regs[reg] = BigInt.asUintN(64, BigInt(args[index] ?? 0))))
  regs[REG.ax] = BigInt(nr)
  regs[REG.orig_ax] = BigInt.asUintN(64, -1n)
  regs[REG.ip] = BigInt(at)
  setRegisters(pid, regs)
  step(pid)
  const stop = waitFor(pid)
  if (stop.kind !== 'stopped') throw new BardoError('lost', `the new process ${pid} died`)
  return Number(BigInt.asIntN(64, getRegisters(pid)[REG.ax]!))
}

/** What is left to be done in a new process by a table of calls. */
export type SettleCall = { readonly name: 'mremap' | 'munmap'; readonly args: readonly number[] }

/**
 * Maps the scratch memory; tells what else clears the memory that exec made: vvar and vdso are parked behind the page of
 * the executable, the rest goes.
 */
function settle(pid: number, address: number, places: Places): SettleCall[] {
  const call = address + CODE_AT + WAITER_SYSCALL
  const mapped = [places.scratch, places.scratchSize, 7, 0x100022, -1, 0]
  const result = callIn(pid, getRegisters(pid), call, NR.mmap, ...mapped)
  if (result < 0) throw refusal('mmap', result, ...mapped).about(`pid ${pid}, preparing its memory`)
  const calls: SettleCall[] = []
  let park = address + PAGE_SIZE
  for (const map of parseMaps(readFile(-100, `/proc/${pid}/maps`)!)) {
    const size = map.end - map.start
    if (map.start === places.scratch || map.path === '[vsyscall]') continue
    if (map.path.startsWith('[vvar') || map.path === '[vdso]') {
      calls.push({ name: 'mremap', args: [map.start, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, park] })
      park += size
    } else calls.push({ name: 'munmap', args: [map.start, size] })
  }
  return calls
}

/** The bytes that parking takes: the executable's page, and vvar and vdso behind it. */
export type ParkedPart = { readonly path: string; readonly size: number; readonly offset: number }

/** Our own vvar and vdso: the kernel maps the same into every process. */
export const ownSpecial = perRun<readonly Mapping[]>(() => parseSpecial(readFile(-100, '/proc/self/maps')!))

/** How vvar and vdso will lie in the parking place: as in our own memory, since the kernel is the same. */
export function parkedParts(): ParkedPart[] {
  let offset = PAGE_SIZE
  return ownSpecial()
    .filter(map => map.path.startsWith('[vvar') || map.path === '[vdso]')
    .map(map => {
      const part = { path: map.path, size: map.end - map.start, offset }
      offset += part.size
      return part
    })
}
