// Unix sockets of an image become a program: what is said, in which order, and what is refused.
import { afterEach, beforeEach, expect, test } from 'bun:test'
import { closeSync, mkdtempSync, openSync, rmSync } from 'node:fs'
import { ImageDirectory } from '../../image/directory.ts'
import { fd_types } from '../../image/messages/files.ts'
import type { unix_sk_entry } from '../../image/messages/sockets.ts'
import { ImageWriter } from '../../image/writer.ts'
import type { CallName } from '../../linux/nr.ts'
import { ProgramBuilder } from '../../program/build.ts'
import { printStep } from '../../program/print.ts'
import { HOST, type Argument, type Purpose, type Slot } from '../../program/program.ts'
import type { Build, Maker } from '../kind.ts'
import { unixSocket } from './unix-socket.ts'

const fown = { uid: 0, euid: 0, signum: 0, pid_type: 0, pid: 0 }
const opts = {
  so_sndbuf: 212992,
  so_rcvbuf: 212992,
  so_snd_tmo_sec: 0n,
  so_snd_tmo_usec: 0n,
  so_rcv_tmo_sec: 0n,
  so_rcv_tmo_usec: 0n,
  so_filter: [],
}
const [STREAM, DGRAM] = [1, 2]
const purpose: Purpose = { what: 'test', phase: 'files' }
let place: string
let fd: number
let writer: ImageWriter

beforeEach(() => {
  place = mkdtempSync('/tmp/bardo-unix-')
  fd = openSync(place, 'r')
  writer = new ImageWriter(fd)
})
afterEach(() => {
  closeSync(fd)
  rmSync(place, { recursive: true, force: true })
})

function add(id: number, ino: number, peer: number, more: Partial<unix_sk_entry> = {}): unix_sk_entry {
  const usk: unix_sk_entry = {
    id,
    ino,
    peer,
    type: STREAM,
    state: 1,
    flags: 2,
    uflags: 0,
    backlog: 0,
    fown,
    opts,
    name: new Uint8Array(0),
    ...more,
  }
  writer.add('FILES', [], { type: fd_types.UNIXSK, id, usk })
  return usk
}

const queue = (id_for: number, text: string): void =>
  writer.add('SK_QUEUES', [], { id_for, length: text.length, scm: [] }, new TextEncoder().encode(text))

/** The calls that make these sockets again, without the names of slots that nothing else needs. */
function program(...states: unix_sk_entry[]): string[] {
  writer.finish()
  const builder = new ProgramBuilder(['files'])
  const made = new Map<string, unknown>()
  const at = {
    call: (name: CallName, ...args: Argument[]) => builder.call(purpose, HOST, 'value', [], name, args),
    attempt: (accept: number[], name: CallName, ...args: Argument[]) =>
      builder.call(purpose, HOST, 'value', accept, name, args),
    open: (name: CallName, ...args: Argument[]) => builder.call(purpose, HOST, 'fd', [], name, args),
    loadFile: (memory: never, offset: number) => builder.load(purpose, memory, offset),
    memory: (content: Uint8Array | number) => builder.memory(HOST, content),
    get<K extends string | number, V>(maker: Maker<K, V>, key: K): V {
      const name = `${maker.name} ${key}`
      if (!made.has(name)) made.set(name, maker.make(key, at as unknown as Build))
      return made.get(name) as V
    },
    inherited: (): Slot<'fd'> | undefined => undefined,
    images: new ImageDirectory(fd),
  }
  for (const state of states) unixSocket.restore(state, at as unknown as Build)
  return builder.steps.map(step =>
    printStep(step)
      .replace(/^host: (\$\d+ = (?!socket\(|load))?/, '')
      .replace(/ +#.*$/, ''),
  )
}

/** Without the sizes of buffers, which every socket gets. */
const buffers = /^setsockopt\(\$\d+, \w+, (7|8|32|33|0x20|0x21),/
const brief = (steps: string[]): string[] =>
  steps.filter(step => !buffers.test(step)).map(step => step.replaceAll(/[$&]\d+/g, '_'))

test('a pair is made once: what each end received is sent from the other before anything is shut down', () => {
  const one = add(1, 100, 101, { shutdown: 2 })
  const other = add(2, 101, 100, { shutdown: 1, opts: { ...opts, so_passcred: true, so_keepalive: false } })
  queue(1, 'to one')
  queue(2, 'a')
  queue(2, 'b')
  const steps = program(one, other)
  expect(brief(steps).map(step => step.replace(/\(.*/, ''))).toEqual([
    'socketpair',
    '_ = load',
    '_ = load',
    'sendto',
    'sendto',
    'sendto',
    'shutdown',
    'setsockopt',
    'shutdown',
  ])
  const senders = steps.filter(step => step.startsWith('sendto')).map(step => /\$\d+/.exec(step)![0])
  expect(new Set(senders.slice(1)).size).toBe(1)
  expect(senders[0]).not.toBe(senders[1]!)
  expect(steps.filter(step => buffers.test(step))).toHaveLength(8)
})

test('an end whose other end is closed, and a socket that is connected to nothing', () => {
  const hungUp = add(1, 100, 0, { shutdown: 3 })
  const alone = add(2, 102, 0, { type: DGRAM, state: 7, name: Uint8Array.of(0, 97) })
  const fed = add(3, 103, 0, { type: DGRAM, state: 7 })
  queue(1, 'last words')
  queue(3, '')
  expect(brief(program(hungUp, alone, fed)).map(step => step.replace(/\(.*/, ''))).toEqual([
    'socketpair',
    '_ = load',
    '_ = load',
    'sendto',
    'shutdown',
    '_ = socket',
    'bind',
    'socketpair',
    '_ = load',
    '_ = load',
    'connect',
    'getsockopt',
    'sendto',
  ])
})

test('a large packet goes from file to file and is sent whole; a long queue gets a large buffer', () => {
  const socket = add(1, 100, 0, { type: DGRAM })
  queue(1, 'x'.repeat(100_000))
  const calls = program(socket).map(step => step.replace(/^.*\$\d+ = /, '').replace(/\(.*/, ''))
  expect(calls.slice(3, 10)).toEqual(['setsockopt', 'memfd_create', 'openat', 'sendfile', 'mmap', 'sendto', 'munmap'])
})

test.each([
  [{}, 101, 'is connected to 101, which files.img does not have'],
  [{ type: 3 }, 0, 'is of type 3'],
  [{ state: 2 }, 0, 'is in state 2'],
  [{ state: 10 }, 0, 'a listening unix socket is not supported yet'],
  [{ name: new TextEncoder().encode('/run/x\0') }, 0, 'a unix socket with a name is not supported yet (/run/x)'],
  [{ uflags: 8 }, 0, 'needs a descriptor'],
  [{}, 100, 'connected one way'],
] as const)('%p with peer %i is refused', (more, peer, says) => {
  const socket = add(1, 100, peer, more)
  expect(() => program(socket)).toThrow(says)
})

test('descriptors in a queue are refused', () => {
  const socket = add(1, 100, 0)
  writer.add('SK_QUEUES', [], { id_for: 1, length: 0, scm: [{ type: 1, rights: [2] }] })
  expect(() => program(socket)).toThrow('SCM_RIGHTS')
})

test('two sockets of one inode are none', () => {
  add(2, 100, 101)
  add(1, 100, 101)
  const twice = add(3, 101, 100)
  expect(() => program(twice)).toThrow('is there twice')
})
