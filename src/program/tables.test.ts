// The order in which gathered calls are made, with tables and a socket that only tell what they were asked for.
import { expect, test } from 'bun:test'
import { closeSync, fstatSync, openSync } from 'node:fs'
import type { CallName } from '../linux/nr.ts'
import { TABLE_SIZE } from '../tracee/table.ts'
import type { PassSocket, Placed } from './pass.ts'
import type { Argument, CallStep, Phase, Slot, Step } from './program.ts'
import { TaskTables, type Made, type Slots } from './tables.ts'

/** What happened, a line for each table that was run and each message that was sent. */
class World {
  readonly said: string[] = []
  readonly values = new Map<number, number>()
  readonly used = new Set<number>()
  /** Results of calls by name; others are 0. */
  results: Partial<Record<CallName, number>> = {}
  readonly socket = {
    number: 1000,
    gather: (table: FakeTable, files: readonly Placed[]) => {
      const numbers = files.map(({ number }) => number).join(' ')
      table.calls.push(`receive ${numbers}`)
      return { send: () => void this.said.push(`send ${numbers}`), check: () => {} }
    },
    place: (made: Made, files: readonly Placed[]) =>
      void this.said.push(`${made.thread.tid}: place ${files.length} files`),
  }
  readonly slots: Slots = {
    value: slot => this.values.get(slot.id)!,
    set: (slot, value) => void this.values.set(slot.id, value),
    isUsed: slot => this.used.has(slot.id),
  }
  readonly tables = new TaskTables(this.slots, this.socket as unknown as PassSocket)
  #next = 1

  task(tid: number, pid = tid): Made {
    const remote = {
      start: 0,
      end: 32 * TABLE_SIZE,
      table: (_: unknown, start = 0, end = TABLE_SIZE) => new FakeTable(this, tid, end - start),
    }
    return { thread: { tid }, remote, pid } as unknown as Made
  }

  call(made: Made, phase: Phase, name: CallName, ...args: Argument[]): Slot {
    const result: Slot = { kind: 'value', id: this.#next++, actor: made.thread.tid }
    const step: Step & CallStep = {
      do: 'call',
      for: { what: 'a test', phase },
      actor: made.thread.tid,
      name,
      args,
      result,
      accept: [],
    }
    this.tables.call(step, made)
    return result
  }

  /** What was said since the last time. */
  take(): string[] {
    return this.said.splice(0)
  }
}

class FakeTable {
  readonly calls: string[] = []
  readonly #names: CallName[] = []
  readonly #world: World
  readonly #tid: number
  free: number

  constructor(world: World, tid: number, size: number) {
    this.#world = world
    this.#tid = tid
    this.free = size
  }

  call(name: CallName, args: readonly unknown[]): number {
    this.calls.push(args.length > 0 ? `${name} ${args.join(' ')}` : name)
    this.free -= 128
    return this.#names.push(name) - 1
  }

  start(): void {
    this.#world.said.push(`${this.#tid}: ${this.calls.join(', ')}`)
  }

  finish(): void {}

  runUnread(): boolean {
    this.start()
    return this.#names.every(name => (this.#world.results[name] ?? 0) >= 0)
  }

  result(index: number): number {
    return this.#world.results[this.#names[index]!] ?? 0
  }

  [Symbol.dispose](): void {}
}

test('tasks do not wait for each other in late phases: a table each, when somebody asks', () => {
  const world = new World()
  const [one, other] = [world.task(1), world.task(2)]
  for (const task of [one, other]) world.call(task, 'memory', 'mprotect')
  for (const task of [one, other]) world.call(task, 'signals', 'rt_sigaction')
  for (const task of [one, other]) world.call(task, 'limits', 'prlimit64')
  expect(world.take()).toEqual([])
  world.tables.flush()
  expect(world.take()).toEqual(['1: mprotect, rt_sigaction, prlimit64', '2: mprotect, rt_sigaction, prlimit64'])
  world.tables.flush()
  expect(world.take()).toEqual([])
})

test('in early phases each waits for the one before', () => {
  const world = new World()
  const [one, other] = [world.task(1), world.task(2)]
  world.call(one, 'groups', 'setpgid')
  world.call(one, 'groups', 'umask')
  world.call(other, 'groups', 'setpgid')
  expect(world.take()).toEqual(['1: setpgid, umask'])
  // Neither does a late call of another come before it, nor it before late calls.
  world.call(one, 'memory', 'mprotect')
  expect(world.take()).toEqual(['2: setpgid'])
  world.call(other, 'groups', 'getpid')
  expect(world.take()).toEqual(['1: mprotect'])
})

test('timers are set when all else is done in all tasks', () => {
  const world = new World()
  const [one, other] = [world.task(1), world.task(2)]
  for (const task of [one, other]) world.call(task, 'pending', 'rt_sigqueueinfo')
  world.call(other, 'timers', 'setitimer')
  expect(world.take()).toEqual(['1: rt_sigqueueinfo', '2: rt_sigqueueinfo'])
  for (const task of [one, other]) world.call(task, 'limits', 'prlimit64')
  expect(world.take()).toEqual(['2: setitimer'])
  world.tables.flush()
  expect(world.take()).toEqual(['1: prlimit64', '2: prlimit64'])
})

test('no thread of a process is a phase ahead of another', () => {
  const world = new World()
  const [leader, thread, stranger] = [world.task(1), world.task(2, 1), world.task(3)]
  world.call(leader, 'memory', 'mprotect')
  world.call(leader, 'signals', 'sigaltstack')
  world.call(thread, 'signals', 'sigaltstack')
  world.call(stranger, 'signals', 'sigaltstack')
  world.call(thread, 'credentials', 'setresuid')
  world.call(leader, 'credentials', 'prctl')
  world.tables.flush()
  expect(world.take()).toEqual(['1: mprotect, sigaltstack', '2: sigaltstack, setresuid', '1: prctl', '3: sigaltstack'])
})

test('an answer that a call needs is fetched before, and no other', () => {
  const world = new World()
  const [one, other] = [world.task(1), world.task(2)]
  world.results = { openat: 7 }
  world.used.add(1)
  const file = world.call(one, 'signals', 'openat')
  world.call(one, 'signals', 'getpid')
  world.call(other, 'signals', 'close', 3)
  expect(world.take()).toEqual([])
  world.call(other, 'signals', 'close', file)
  expect(world.take()).toEqual(['1: openat, getpid', '2: close 3'])
  world.tables.flush()
  expect(world.take()).toEqual(['2: close 7'])
})

test('files are sent right before the table that receives them, and closed in us behind it', () => {
  const world = new World()
  const [one, other] = [world.task(1), world.task(2)]
  const ours = openSync('/dev/null', 'r')
  world.tables.place('descriptors', one, [{ ours, number: 5, cloexec: false }])
  world.tables.place('descriptors', other, [{ ours, number: 6, cloexec: false }])
  world.tables.close(ours)
  world.call(one, 'memory', 'mprotect')
  world.tables.closeSocket(one)
  fstatSync(ours)
  world.tables.flush()
  expect(world.take()).toEqual(['send 5', '1: receive 5, mprotect, close 1000', 'send 6', '2: receive 6'])
  expect(() => fstatSync(ours)).toThrow('EBADF')
  // Many go by themselves, in their turn.
  const many = Array.from({ length: 100 }, (_, number) => ({ ours: 0, number, cloexec: false }))
  world.call(one, 'descriptors', 'getpid')
  world.tables.place('descriptors', one, many)
  world.call(one, 'signals', 'getpid')
  world.tables.flush()
  expect(world.take()).toEqual(['1: getpid', '1: place 100 files', '1: getpid'])
  // Nothing waits: at once.
  const last = openSync('/dev/null', 'r')
  world.tables.close(last)
  expect(() => closeSync(last)).toThrow('EBADF')
})

test('what does not fit into a table goes into another', () => {
  const world = new World()
  const one = world.task(1)
  for (let index = 0; index < 100; index++) world.call(one, 'signals', 'getpid')
  world.tables.flush()
  const tables = world.take()
  expect(tables.length).toBeGreaterThan(1)
  expect(tables.flatMap(line => line.slice(3).split(', ')).length).toBe(100)
  // All the room that there is for one that needs it; more there is not.
  world.call(one, 'signals', 'write', {
    kind: 'memory',
    id: 99,
    actor: 1,
    bytes: new Uint8Array(33 * TABLE_SIZE),
    holds: [],
    pointers: [],
  })
  expect(() => world.tables.flush()).toThrow('does not fit')
})

test('a call that fails is told by its own purpose', () => {
  const world = new World()
  world.results = { setresuid: -1 }
  world.call(world.task(4), 'credentials', 'getpid')
  world.call(world.task(4), 'credentials', 'setresuid', 0)
  expect(() => world.tables.flush()).toThrow('setresuid(0)')
})
