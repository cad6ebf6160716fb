// Builds a program: steps said by kinds and recipe in any order of phases, kept in the order of saying within each.
import type { CallName } from '../linux/nr.ts'
import type {
  Actor,
  Argument,
  HostAct,
  Memory,
  Phase,
  Purpose,
  Run,
  Passed,
  Slot,
  SlotKind,
  Spawn,
  Step,
} from './program.ts'
import { HOST } from './program.ts'

export class ProgramBuilder {
  readonly #phases: readonly Phase[]
  readonly #steps: Map<Phase, Step[]>
  #next = 1

  constructor(phases: readonly Phase[]) {
    this.#phases = phases
    this.#steps = new Map(phases.map(phase => [phase, []]))
  }

  /** All steps, phase after phase. */
  get steps(): Step[] {
    return this.#phases.flatMap(phase => this.#steps.get(phase)!)
  }

  slot<K extends SlotKind>(kind: K, actor: Actor): Slot<K> {
    return { kind, id: this.#next++, actor }
  }

  memory(
    actor: Actor,
    content: Uint8Array | number,
    holds: Memory['holds'] = [],
    pointers: Memory['pointers'] = [],
  ): Memory {
    const bytes = typeof content === 'number' ? new Uint8Array(content) : content
    return { kind: 'memory', id: this.#next++, actor, bytes, holds, pointers }
  }

  add(step: Step): void {
    const steps = this.#steps.get(step.for.phase)
    if (steps === undefined) throw new RangeError(`no phase ${step.for.phase}`)
    steps.push(step)
  }

  call<K extends SlotKind>(
    purpose: Purpose,
    actor: Actor,
    kind: K,
    accept: readonly number[],
    name: CallName,
    args: readonly Argument[],
  ): Slot<K> {
    const result = this.slot(kind, actor)
    this.add({ for: purpose, do: 'call', actor, name, args, result, accept })
    return result
  }

  load(purpose: Purpose, from: Memory, offset: number): Slot<'fd'> {
    const result = this.slot('fd', HOST)
    this.add({ for: purpose, do: 'load', actor: HOST, from, offset, result })
    return result
  }

  fillMemory(purpose: Purpose, actor: number, file: Slot<'fd'>, runs: readonly Run[]): void {
    if (runs.length > 0) this.add({ for: purpose, do: 'fill', actor, file, runs })
  }

  pass(purpose: Purpose, actor: number, files: readonly Passed[]): void {
    if (files.length > 0) this.add({ for: purpose, do: 'pass', actor, files })
  }

  /** Passes a file for a while: its number in the task. */
  lend(purpose: Purpose, actor: number, files: readonly Slot<'fd'>[]): Slot<'fd'>[] {
    const passed = files.map(file => ({ file, number: undefined, cloexec: true, result: this.slot('fd', actor) }))
    this.pass(purpose, actor, passed)
    return passed.map(({ result }) => result)
  }

  spawn(purpose: Purpose, actor: Actor, task: number, spawn: Spawn): void {
    this.add({ for: purpose, do: 'spawn', actor, task, spawn })
  }

  end(purpose: Purpose, actor: number, status: number, reap: number | undefined): void {
    this.add({ for: purpose, do: 'end', actor, status, reap })
  }

  host(purpose: Purpose, act: HostAct): void {
    this.add({ for: purpose, do: 'host', act })
  }
}
