// Programs for tests, said in few words: all for one purpose, of the root 66, which has the socket at 1000.
import { ProgramBuilder } from '../src/program/build.ts'
import {
  HOST,
  type Actor,
  type Argument,
  type Memory,
  type Phase,
  type Program,
  type Purpose,
  type Slot,
  type ThreadState,
} from '../src/program/program.ts'
import { verifyProgram, type VerifyHost } from '../src/program/verify.ts'
import type { BardoError } from '../src/base/errors.ts'

export const ROOT = 66
export const SOCKET = 1000
export const PLACES = { scratch: 0x100000, scratchSize: 0x40000, park: 0x140000, socket: SOCKET }
/** A host on which no id is taken. */
export const EMPTY_HOST: VerifyHost = { pidTaken: () => false, nameOf: () => '' }

const PHASES: readonly Phase[] = ['files', 'tasks', 'descriptors', 'go']
const purposeOf = (what: string, phase: Phase): Purpose => ({ what, phase })
export const purpose = purposeOf('pid 66 "x"', 'tasks')

export const stateOf = (thread: number): ThreadState => ({
  name: 'state',
  thread,
  registers: new BigUint64Array(27),
  xstate: new Uint8Array(),
  sigmask: 0n,
  timed: undefined,
  stopped: 0,
})

export class Said {
  readonly builder = new ProgramBuilder(PHASES)

  get program(): Program {
    return { steps: this.builder.steps, places: PLACES, root: ROOT }
  }

  call(actor: Actor, name: Parameters<ProgramBuilder['call']>[4], ...args: Argument[]): Slot<'value'> {
    return this.builder.call(purpose, actor, 'value', [], name, args)
  }

  open(actor: Actor): Slot<'fd'> {
    return this.builder.call(purpose, actor, 'fd', [], 'openat', [-100, '/', 0, 0])
  }

  /** A slot that nothing makes yet. */
  slot(actor: Actor): Slot<'fd'> {
    return this.builder.slot('fd', actor)
  }

  memory(actor: Actor, size: number, holds?: Memory['holds'], pointers?: Memory['pointers']): Memory {
    return this.builder.memory(actor, size, holds, pointers)
  }

  root(task = ROOT, actor: Actor = HOST): void {
    this.builder.spawn(purpose, actor, task, { kind: 'root', sibling: false })
  }

  child(actor: Actor, task: number, flags = 0): void {
    this.builder.spawn(purpose, actor, task, { kind: 'child', flags })
  }

  thread(actor: Actor, task: number, process = ROOT): void {
    this.builder.spawn(purpose, actor, task, { kind: 'thread', process })
  }

  end(actor: number, reap?: number): void {
    this.builder.end(purpose, actor, 0, reap)
  }

  place(actor: number, file: Slot<'fd'>, ...numbers: number[]): void {
    this.builder.pass(
      purpose,
      actor,
      numbers.map(number => ({ file, number, cloexec: false })),
    )
  }

  lend(actor: number, file: Slot<'fd'>): Slot<'fd'> {
    return this.builder.lend(purpose, actor, [file])[0]!
  }

  fill(actor: number, ...runs: [address: number, length: number, offset?: number][]): void {
    const all = runs.map(([address, length, offset = 0]) => ({ address, length, offset }))
    this.builder.fillMemory(purpose, actor, this.open(HOST), all)
  }

  shared(bytes: number, result = this.slot(HOST)): Slot<'fd'> {
    this.builder.host(purpose, { name: 'shared_memory', bytes, result })
    return result
  }

  state(thread: number): void {
    this.builder.host({ what: 'going on', phase: 'go' }, stateOf(thread))
  }
}

export function found(say: (said: Said) => void, host = EMPTY_HOST): BardoError[] {
  const said = new Said()
  say(said)
  return verifyProgram(said.program, host)
}

/** What is found in a program of a root that says this; the root has its state. */
export const foundWithRoot = (say: (said: Said) => void): string[] =>
  found(said => {
    said.root()
    say(said)
    said.state(ROOT)
  }).map(error => error.what)

/** A rule, a program that breaks it, what is found in that, and one that does not. */
export type Rule = readonly [
  name: string,
  wrong: (said: Said) => void,
  findings: readonly string[],
  right: (said: Said) => void,
]
