// A program as text, a step a line: what `restore --explain` prints, and what the tests of kinds compare.
// The text depends on the program alone. What comes from images is escaped: none of it reaches a terminal as a control.
import { bytesOf } from '../base/bytes.ts'
import { errnoName } from '../base/errno.ts'
import { REG } from '../linux/arch/x86-64.ts'
import { argumentText, cloneFlagNames, signalName } from '../linux/names.ts'
import { NR } from '../linux/nr.ts'
import {
  HOST,
  isSlot,
  type Argument,
  type CallStep,
  type EndStep,
  type HostAct,
  type Memory,
  type PassStep,
  type Phase,
  type Program,
  type Run,
  type Slot,
  type SpawnStep,
  type Step,
  type ThreadState,
} from './program.ts'

/** Of memory, at most so many bytes are shown. */
const SHOWN_BYTES = 16
/** Memory in memory in memory; what is deeper is shown by its name: what verify would refuse is printed too. */
const SHOWN_DEPTH = 4

/** What is printed: a program, or a list of steps alone. */
export type Printable = { readonly steps: readonly Step[] } & Partial<Pick<Program, 'places' | 'root'>>
/** Why a phase is where it is (restore/order.ts). */
export type ReasonFor = (phase: Phase) => string

/** The whole program as text, a newline behind each line; '' for a program of nothing. */
export function printProgram(program: Printable, reasonFor?: ReasonFor): string {
  const lines: string[] = []
  eachLine(program, line => lines.push(line, '\n'), reasonFor)
  return lines.join('')
}

/** Gives the lines of the program to `write` one after another, without newlines. */
export function eachLine(program: Printable, write: (line: string) => void, reasonFor?: ReasonFor): void {
  const { steps, places, root } = program
  if (places !== undefined) {
    const { scratch, scratchSize, park, socket } = places
    const own = `scratch memory ${hex(scratch)}-${hex(scratch + scratchSize)}, vdso parked at ${hex(park)}`
    write(`root ${root}, ${own}, socket ${socket}`)
  }
  let width = HOST.length
  for (const step of steps) width = Math.max(width, actorOf(step).length)
  let phase: Phase | undefined
  for (const step of steps) {
    if (step.for.phase !== phase) {
      if (phase !== undefined || places !== undefined) write('')
      phase = step.for.phase
      write(reasonFor === undefined ? `[${phase}]` : `[${phase}] ${reasonFor(phase)}`)
    }
    write(printStep(step, width))
  }
}

/** One step: who, what, and what for; `width` is that of the longest actor, to which others are moved right. */
export function printStep(step: Step, width = HOST.length): string {
  return `${actorOf(step).padStart(width)}: ${textOfStep(step)}   # ${escaped(step.for.what)}`
}

const actorOf = (step: Step): string => (step.do === 'host' ? HOST : String(step.actor))

function textOfStep(step: Step): string {
  switch (step.do) {
    case 'call':
      return callText(step)
    case 'load':
      return `${slotText(step.result)} = load(&${step.from.id} + ${step.offset})`
    case 'fill':
      return `fill from ${slotText(step.file)}: ${runsText(step.runs)}`
    case 'pass':
      return passText(step)
    case 'spawn':
      return spawnText(step)
    case 'end':
      return endText(step)
    case 'host':
      return actText(step.act)
  }
}

// ---- calls

function callText({ name, args, result, accept }: CallStep): string {
  const texts = args.map((argument, index) =>
    typeof argument === 'number' || typeof argument === 'bigint'
      ? argumentText(name, index, argument, args)
      : argumentShown(argument),
  )
  const accepted = accept.length === 0 ? '' : ` (or ${accept.map(errnoName).join(', ')})`
  return `${slotText(result)} = ${name}(${texts.join(', ')})${accepted}`
}

function argumentShown(argument: Exclude<Argument, number | bigint>): string {
  if (typeof argument === 'string') return `"${escaped(argument, true)}"`
  if (isSlot(argument)) return slotText(argument)
  if (argument.kind === 'fd-path') return `/proc/self/fd/${slotText(argument.of)}`
  return memoryText(argument, 0)
}

const slotText = (slot: Slot): string => `$${slot.id}`

/** `&4{8 zero bytes}`, `&7{0a0b…, 104 bytes, 100: $5, 88: &6{…}}`: name, bytes, and what is put into it where. */
function memoryText(memory: Memory, depth: number): string {
  const { id, bytes, holds, pointers } = memory
  if (depth === SHOWN_DEPTH) return `&${id}`
  const parts = [bytesText(bytes)]
  for (const { offset, slot } of holds) parts.push(`${offset}: ${slotText(slot)}`)
  for (const { offset, memory: inner } of pointers) parts.push(`${offset}: ${memoryText(inner, depth + 1)}`)
  return `&${id}{${parts.join(', ')}}`
}

function bytesText(bytes: Uint8Array): string {
  const size = bytes.length === 1 ? '1 byte' : `${bytes.length} bytes`
  if (bytes.every(byte => byte === 0)) return bytes.length === 0 ? size : size.replace(' ', ' zero ')
  const shown = bytes.subarray(0, SHOWN_BYTES).toHex()
  return bytes.length > SHOWN_BYTES ? `${shown}…, ${size}` : shown
}

// ---- other steps

function passText({ files }: PassStep): string {
  const texts = files.map(({ file, number, cloexec, result }) => {
    const where = number !== undefined ? ` at ${number}` : result !== undefined ? ` as ${slotText(result)}` : ''
    return `${slotText(file)}${where}${cloexec ? ' cloexec' : ''}`
  })
  return `pass ${texts.join(', ')}`
}

function runsText(runs: readonly Run[]): string {
  let bytes = 0
  let [low, high] = [Infinity, 0]
  for (const { address, length } of runs) {
    bytes += length
    low = Math.min(low, address)
    high = Math.max(high, address + length)
  }
  const count = `${runs.length} ${runs.length === 1 ? 'run' : 'runs'}, ${bytes} bytes`
  return runs.length === 0 ? count : `${count} within ${hex(low)}-${hex(high)}`
}

function spawnText({ task, spawn }: SpawnStep): string {
  switch (spawn.kind) {
    case 'root':
      return `spawn ${task}, the root${spawn.sibling ? ', as our sibling' : ''}`
    case 'child': {
      const flags = cloneFlagNames(spawn.flags)
      return `spawn ${task}${flags === '' ? '' : `, ${flags}`}`
    }
    case 'thread':
      return `spawn ${task}, a thread of ${spawn.process}`
  }
}

/** A wait status (wait(2)): a signal in the low seven bits, or an exit status above them; 0x80 tells of a core file. */
function endText({ status, reap }: EndStep): string {
  const killed = status & 0x7f
  const how = killed === 0 ? `exit status ${(status >> 8) & 0xff}` : signalName(killed)
  const core = killed !== 0 && (status & 0x80) !== 0 ? ' (core dumped)' : ''
  return `end by ${how}${core}, ${reap === undefined ? 'a zombie' : `reaped by ${reap}`}`
}

function actText(act: HostAct): string {
  switch (act.name) {
    case 'shared_memory':
      return `${slotText(act.result)} = shared_memory(${act.bytes})`
    case 'copy':
      return `copy ${slotText(act.from)} to ${slotText(act.to)}: ${runsText(act.runs)}`
    case 'state':
      return stateText(act)
    case 'poke':
      return `poke ${bytesText(act.bytes)} at 0x${act.address.toString(16)} of ${act.task}`
    case 'take':
      return `${slotText(act.result)} = take ${slotText(act.file)} of ${act.task}`
    case 'thread_area':
      return `thread_area of ${act.thread}: entry ${act.entry}, ${bytesText(act.desc)}`
  }
}

function stateText({ thread, registers, sigmask, timed, stopped }: ThreadState): string {
  const parts = [`ip ${hex(registers[REG.ip] ?? 0n)}`, `sp ${hex(registers[REG.sp] ?? 0n)}`]
  if (sigmask !== 0n) parts.push(`sigmask ${hex(sigmask)}`)
  if (timed !== undefined) parts.push(`in ${callName(timed.nr)} again`)
  if (timed?.left_ns !== undefined) parts.push(`${timed.left_ns} ns left`)
  if (stopped !== 0) parts.push(`stopped by ${signalName(stopped)}`)
  return `state of ${thread}: ${parts.join(', ')}`
}

const callName = (nr: number): string => Object.entries(NR).find(([, number]) => number === nr)?.[0] ?? `call ${nr}`

// ---- text

const hex = (value: number | bigint): string => `0x${value.toString(16)}`

/** Controls, invisible and direction marks, and bytes that are no UTF-8; all else is printed as it is. */
const UNPRINTABLE = /[\p{C}\p{Zl}\p{Zp}]/gu
const UNPRINTABLE_OR_QUOTE = /[\p{C}\p{Zl}\p{Zp}"\\]/gu
const SHORT: Readonly<Record<string, string>> = { '\n': '\\n', '\t': '\\t', '\r': '\\r', '"': '\\"', '\\': '\\\\' }

/** What may not be printed as it is becomes its bytes, as `\xNN`; in quotes, quote and backslash are escaped too. */
function escaped(text: string, quoted = false): string {
  return text.replace(quoted ? UNPRINTABLE_OR_QUOTE : UNPRINTABLE, char => {
    const short = SHORT[char]
    if (short !== undefined) return short
    // A lone surrogate that stands for no byte is in no text of ours; but to print a text must not fail for one.
    if (!char.isWellFormed() && (char < '\udc80' || char > '\udcff')) return `\\u${char.charCodeAt(0).toString(16)}`
    return Array.from(bytesOf(char), byte => `\\x${byte.toString(16).padStart(2, '0')}`).join('')
  })
}
