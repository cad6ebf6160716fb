// The verifier under programs that are nearly right: random good ones, in which steps were dropped, swapped or doubled.
// It never throws, is satisfied by a good program, and finds each definition that is gone, by name.
// Seeded: a failure prints seed and path, `BARDO_SEED=<seed>` repeats the run, `BARDO_RUNS=<n>` makes it longer.
import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { BardoError } from '../../src/base/errors.ts'
import { CLONE_FILES, CLONE_FS, ENOENT } from '../../src/linux/constants.ts'
import { ProgramBuilder } from '../../src/program/build.ts'
import { printProgram } from '../../src/program/print.ts'
import { HOST, type Memory, type Program, type Slot, type Step } from '../../src/program/program.ts'
import { slotsOf } from '../../src/program/slots.ts'
import { verifyProgram } from '../../src/program/verify.ts'
import { PHASES, reasonFor } from '../../src/restore/order.ts'
import { EMPTY_HOST, PLACES, ROOT, SOCKET, stateOf } from '../said.ts'

const seed = Number(process.env['BARDO_SEED'] ?? Math.floor(Math.random() * 2 ** 31))
const runs = Number(process.env['BARDO_RUNS'] ?? 500)
console.log(`fuzz of the program verifier: BARDO_SEED=${seed}`)
const parameters = { seed, numRuns: runs }

/** A task as it is while the program is said; `table` is one object for those that share their descriptors. */
type Task = { id: number; process: number; table: { next: number } }

/** One thing that is said. The numbers choose who does it and with what, as rests: any numbers make a good program. */
type Deed = { kind: (typeof KINDS)[number]; who: number; which: number; size: number }
const KINDS = [
  'open',
  'path',
  'pipe',
  'shared',
  'child',
  'sharing child',
  'thread',
  'end',
  'map',
  'fill',
  'place',
  'own',
  'nested',
] as const
const deed: fc.Arbitrary<Deed> = fc.record({
  kind: fc.constantFrom(...KINDS),
  who: fc.nat(1000),
  which: fc.nat(1000),
  size: fc.nat(20),
})
const deeds = fc.array(deed, { maxLength: 60, size: 'max' })

/** A program that the verifier has nothing against. All is of one phase, so that steps stay as they are said. */
function programOf(all: readonly Deed[]): Program {
  const program = new ProgramBuilder(PHASES)
  const purpose = (what: string) => ({ what, phase: 'tasks' }) as const
  const open = (what: string) => program.call(purpose(what), HOST, 'fd', [], 'openat', [-100, '/dev/null', 0, 0])
  const files: Slot<'fd'>[] = [open('the first file')]
  program.spawn(purpose('root'), HOST, ROOT, { kind: 'root', sibling: false })
  const living: Task[] = [{ id: ROOT, process: ROOT, table: { next: 500 } }]
  let next = ROOT
  for (const { kind, who, which, size } of all) {
    const task = living[who % living.length]!
    const file = files[which % files.length]!
    const say = purpose(`${kind} of ${task.id}`)
    switch (kind) {
      case 'open':
        files.push(open('a file'))
        break
      case 'path':
        files.push(program.call(say, HOST, 'fd', [ENOENT], 'openat', [-100, { kind: 'fd-path', of: file }, 0, 0]))
        break
      case 'pipe': {
        const ends = program.memory(HOST, 8)
        program.call(say, HOST, 'value', [], 'pipe2', [ends, 0])
        files.push(program.load(say, ends, 0), program.load(say, ends, 4))
        break
      }
      case 'shared': {
        const result = program.slot('fd', HOST)
        program.host(say, { name: 'shared_memory', bytes: 4096 * (size + 1), result })
        program.host(say, { name: 'copy', from: file, to: result, runs: [{ address: 0, length: size + 1, offset: 5 }] })
        files.push(result)
        break
      }
      case 'child':
      case 'sharing child': {
        const shares = kind === 'sharing child'
        program.spawn(say, task.id, ++next, { kind: 'child', flags: shares ? CLONE_FILES : CLONE_FS })
        living.push({ id: next, process: next, table: shares ? task.table : { next: task.table.next } })
        break
      }
      case 'thread':
        program.spawn(say, task.id, ++next, { kind: 'thread', process: task.process })
        living.push({ id: next, process: task.process, table: task.table })
        break
      case 'end': {
        if (task.process === ROOT) break
        program.end(say, task.process, size << 8, which % 2 === 0 ? ROOT : undefined)
        living.splice(0, Infinity, ...living.filter(other => other.process !== task.process))
        break
      }
      case 'map': {
        const [lent] = program.lend(say, task.id, [file])
        for (let call = 0; call <= size; call++)
          program.call(say, task.id, 'value', [], 'mmap', [0x400000 + call * 4096, 4096, 3, 2, lent!, 0])
        program.call(say, task.id, 'value', [], 'close', [lent!])
        break
      }
      case 'fill':
        program.fillMemory(say, task.id, file, [{ address: 0x400000, length: (size + 1) * 4096, offset: 0 }])
        break
      case 'place': {
        const cloexec = which % 2 === 0
        const passed = Array.from({ length: size + 1 }, () => ({ file, number: task.table.next++, cloexec }))
        // The socket has its own.
        if (task.table.next < SOCKET) program.pass(say, task.id, passed)
        break
      }
      case 'own': {
        const own = program.call(say, task.id, 'fd', [], 'openat', [-100, '/', 0, 0])
        program.call(say, task.id, 'value', [], 'fchdir', [own])
        program.call(say, task.id, 'value', [], 'close', [own])
        break
      }
      case 'nested': {
        const [lent] = program.lend(say, task.id, [file])
        let memory: Memory = program.memory(task.id, 8, [{ offset: 0, slot: lent! }])
        for (let depth = 0; depth < size % 5; depth++) memory = program.memory(task.id, 16, [], [{ offset: 8, memory }])
        program.call(say, task.id, 'value', [], 'prctl', [35, 14, memory, 104, 0])
        program.call(say, task.id, 'value', [], 'close', [lent!])
        break
      }
    }
  }
  for (const { id } of living) program.host({ what: `thread ${id}`, phase: 'go' }, stateOf(id))
  return { steps: program.steps, places: PLACES, root: ROOT }
}

/** What is found; each finding is a bug that names its place. */
function whatsOf(program: Program): string[] {
  return verifyProgram(program, EMPTY_HOST).map(error => {
    expect(error).toBeInstanceOf(BardoError)
    expect(error.code).toBe('bug')
    expect(error.where).toMatch(/; phase (tasks|go), step \d+ of \d+$|^a program of no steps$/)
    return error.what
  })
}

const without = ({ steps, ...rest }: Program, index: number): Program => ({ ...rest, steps: steps.toSpliced(index, 1) })

/** The slots that a step makes. */
function madeBy(step: Step): Slot[] {
  switch (step.do) {
    case 'call':
    case 'load':
      return [step.result]
    case 'pass':
      return step.files.flatMap(({ result }) => result ?? [])
    case 'host':
      return step.act.name === 'shared_memory' ? [step.act.result] : []
    default:
      return []
  }
}

describe('a good program', () => {
  test('has nothing against it, and is printed a line a step', () => {
    fc.assert(
      fc.property(deeds, all => {
        const program = programOf(all)
        expect(whatsOf(program)).toEqual([])
        const lines = printProgram(program, reasonFor).split('\n')
        expect(lines.filter(line => line.includes('   # ')).length).toBe(program.steps.length)
      }),
      parameters,
    )
  })

  test('without one of its steps lacks what that has made', () => {
    fc.assert(
      fc.property(deeds, fc.nat(), (all, choice) => {
        const program = programOf(all)
        const index = choice % program.steps.length
        const step = program.steps[index]!
        const whats = whatsOf(without(program, index))
        const later = program.steps.slice(index + 1)
        for (const { id } of madeBy(step)) {
          const used = later.some(other => slotsOf(other).some(slot => slot.id === id))
          expect(whats.includes(`slot $${id} is used before it is made`)).toBe(used)
        }
        if (step.do === 'spawn' && step.spawn.kind !== 'root') {
          const used = later.some(
            other =>
              ('actor' in other && other.actor === step.task) ||
              (other.do === 'end' && other.reap === step.task) ||
              (other.do === 'host' && other.act.name === 'state' && other.act.thread === step.task),
          )
          if (used) expect(whats).toContain(`task ${step.task} is used before it is made`)
        }
        if (step.do === 'spawn' && step.spawn.kind === 'root')
          expect(whats).toContain(`the root, process ${ROOT}, is never made`)
        if (step.do === 'host' && step.act.name === 'state')
          expect(whats).toEqual([`thread ${step.act.thread} has no state to go on with`])
        if (step.do === 'end') expect(whats.some(what => what.endsWith('has no state to go on with'))).toBe(true)
      }),
      parameters,
    )
  })

  test('with one of its steps twice has two of what that makes', () => {
    fc.assert(
      fc.property(deeds, fc.nat(), (all, choice) => {
        const program = programOf(all)
        const index = choice % program.steps.length
        const step = program.steps[index]!
        const whats = whatsOf({ ...program, steps: program.steps.toSpliced(index, 0, step) })
        for (const { id } of madeBy(step)) expect(whats).toContain(`slot $${id} is made a second time`)
        if (step.do === 'spawn') expect(whats).toContain(`task ${step.task} is made a second time`)
        if (step.do === 'end') expect(whats).toContain(`task ${step.actor} is used after it ended`)
        if (step.do === 'host' && step.act.name === 'state')
          expect(whats).toEqual([`thread ${step.act.thread} has a state already`])
        if (step.do === 'pass' && step.files.some(({ number }) => number !== undefined))
          expect(whats.some(what => what.startsWith('two files are placed on descriptor'))).toBe(true)
      }),
      parameters,
    )
  })

  test('with any changes is answered for, never thrown at', () => {
    const change = fc.record({ kind: fc.constantFrom('drop', 'double', 'swap', 'move'), from: fc.nat(), to: fc.nat() })
    fc.assert(
      fc.property(deeds, fc.array(change, { minLength: 1, maxLength: 12 }), (all, changes) => {
        const program = programOf(all)
        const steps = [...program.steps]
        for (const { kind, from, to } of changes) {
          if (steps.length === 0) break
          const [a, b] = [from % steps.length, to % steps.length]
          const [one, other] = [steps[a]!, steps[b]!]
          if (kind === 'drop') steps.splice(a, 1)
          else if (kind === 'double') steps.splice(b, 0, one)
          else if (kind === 'swap') [steps[a], steps[b]] = [other, one]
          else steps.splice(b, 0, ...steps.splice(a, 1))
        }
        const changed = { ...program, steps }
        const before = printProgram(changed, reasonFor)
        whatsOf(changed)
        // It has looked, and changed nothing.
        expect(printProgram(changed, reasonFor)).toBe(before)
        expect(whatsOf(changed)).toEqual(whatsOf(changed))
      }),
      parameters,
    )
  })
})
