// The last acts in restored processes: timed calls taken up again, scratch memory unmapped, registers loaded; and then
// all of them let go at once.
import { BardoError } from '../base/errors.ts'
import { perRun } from '../base/run.ts'
import { AT_FDCWD, ERESTART_RESTARTBLOCK, ESRCH, PAGE_SIZE, PTRACE_EVENT_STOP, SIGSTOP } from '../linux/constants.ts'
import { REG, TABLE_LOOP_SYSCALL, type Registers } from '../linux/arch/x86-64.ts'
import { syscall } from '../linux/ffi.ts'
import { NR } from '../linux/nr.ts'
import { parseMaps } from '../linux/proc/maps.ts'
import { readFile, refusal } from '../linux/sys.ts'
import { findBootPlace } from '../tracee/boot-place.ts'
import { pokeMemory, readMemory, writeMemory } from '../tracee/memory.ts'
import {
  detach,
  getRegisters,
  interrupt,
  resume,
  resumeToSyscall,
  setRegisters,
  setSigmask,
  setXstate,
  waitFor,
} from '../tracee/ptrace.ts'
import type { Remote } from '../tracee/remote.ts'
import type { Thread } from '../tracee/stopped.ts'
import { argumentsAgain } from '../tracee/timed-call.ts'
import type { Places, ThreadState } from './program.ts'
import { callIn } from './spawn.ts'

type Made = { readonly thread: Thread; readonly remote: Remote; readonly pid: number }

const SYSCALL = Uint8Array.of(0x0f, 0x05)
const NO_CALL = BigInt.asUintN(64, -1n)

/** Gives a process's threads their state; behind this nothing of ours is in it. The leader comes first in `threads`. */
export function prepareLeaving(
  threads: readonly Made[],
  states: ReadonlyMap<number, ThreadState>,
  places: Places,
): void {
  const { pid } = threads[0]!
  const final = threads.map(({ thread }) => {
    const state = states.get(thread.tid)
    if (state === undefined) throw new BardoError('bug', `thread ${thread.tid} has no state to go on with`)
    setXstate(thread.tid, state.xstate)
    return { state, registers: state.timed === undefined ? state.registers : takeUp(state, state.timed, places) }
  })
  takeOurselvesAway(threads[0]!, states.get(pid)?.vdso, places)
  for (const { state, registers } of final) {
    setSigmask(state.thread, state.sigmask)
    setRegisters(state.thread, registers)
  }
}

/**
 * Puts a thread back into the timed call that the dump cut short: the call is made, with what was left of its time, and
 * interrupted at once, so that the kernel has a restart block for it and goes on with it when the thread is let go
 * (test/kernel/restart-block-survives.test.ts). The registers to go on with.
 */
function takeUp(state: ThreadState, timed: NonNullable<ThreadState['timed']>, places: Places): Registers {
  const { thread: tid, registers } = state
  const { nr } = timed
  const args = [REG.di, REG.si, REG.dx, REG.r10, REG.r8, REG.r9].map(reg => registers[reg]!)
  let leftAt: bigint | undefined
  if (timed.left_ns !== undefined) {
    const timespec = BigInt64Array.of(timed.left_ns / 1_000_000_000n, timed.left_ns % 1_000_000_000n)
    const at = places.scratch + places.scratchSize - 16
    writeMemory(tid, at, new Uint8Array(timespec.buffer))
    leftAt = BigInt(at)
  }
  const regs = registers.slice()
  const again = argumentsAgain(nr, args, leftAt)
  ;[REG.di, REG.si, REG.dx, REG.r10, REG.r8, REG.r9].forEach((reg, index) => (regs[reg] = again[index]!))
  regs[REG.ax] = BigInt(nr)
  regs[REG.orig_ax] = NO_CALL
  regs[REG.ip] = BigInt(places.scratch + TABLE_LOOP_SYSCALL)
  setRegisters(tid, regs)
  resumeToSyscall(tid)
  waitStopped(tid)
  interrupt(tid)
  resume(tid)
  for (;;) {
    const event = waitStopped(tid)
    if (event === PTRACE_EVENT_STOP) break
    resume(tid)
  }
  const result = getRegisters(tid)[REG.ax]!
  const final = registers.slice()
  final[REG.ax] = result
  final[REG.orig_ax] = BigInt(nr)
  // It may have ended at once, since what it waits for is there: then its result is the call's.
  if (BigInt.asIntN(64, result) !== BigInt(-ERESTART_RESTARTBLOCK)) final[REG.orig_ax] = NO_CALL
  return final
}

function waitStopped(tid: number): number {
  const stop = waitFor(tid)
  if (stop.kind !== 'stopped') throw new BardoError('lost', `the restored thread ${tid} died`)
  return stop.event
}

const known = perRun((): { vdsoCall?: number } => ({}))

/** Where a `syscall` instruction is in the vdso, as an offset: the same in every process of this kernel. */
function syscallInVdso(pid: number, start: number): number {
  return (known().vdsoCall ??= Buffer.from(readMemory(pid, start, PAGE_SIZE)).indexOf(Buffer.from(SYSCALL)))
}

/** The last memory of ours goes by a stepped instruction that lies in memory of the process's own. */
function takeOurselvesAway({ pid, thread }: Made, vdso: number | undefined, places: Places): void {
  const offset = vdso === undefined ? -1 : syscallInVdso(pid, vdso)
  let at: number
  let before: Uint8Array | undefined
  if (vdso !== undefined && offset >= 0) at = vdso + offset
  else {
    const maps = parseMaps(readFile(AT_FDCWD, `/proc/${pid}/maps`)!)
    at = findBootPlace(
      pid,
      maps.filter(map => map.start !== places.scratch),
    )
    before = readMemory(pid, at, SYSCALL.length)
    pokeMemory(pid, at, SYSCALL)
  }
  const result = callIn(pid, thread.registers, at, NR.munmap, places.scratch, places.scratchSize)
  if (before !== undefined) pokeMemory(pid, at, before)
  if (result < 0) throw refusal('munmap', result, places.scratch, places.scratchSize)
}

/**
 * Lets all processes go. A process that was stopped stops again before it runs a single instruction. Throws if one cannot
 * be let go, which would die with us.
 */
export function letGo(
  processes: readonly (readonly Made[])[],
  states: ReadonlyMap<number, ThreadState>,
  finish: 'run' | 'stop',
): void {
  for (const threads of processes) {
    const { pid } = threads[0]!
    const stopped = states.get(pid)?.stopped ?? 0
    if (stopped !== 0 || finish === 'stop') syscall(NR.kill, pid, stopped !== 0 ? stopped : SIGSTOP)
  }
  for (const threads of processes) {
    for (const { thread } of threads) {
      const result = detach(thread.tid) && detach(thread.tid)
      // Who was let go a moment ago may have killed this one already.
      if (result !== 0 && result !== -ESRCH)
        throw new BardoError('refused', `cannot let the restored task ${thread.tid} go`, { errno: -result })
    }
  }
}
