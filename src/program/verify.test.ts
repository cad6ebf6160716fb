import { describe, expect, test } from 'bun:test'
import { BardoError } from '../base/errors.ts'
import { CLONE_FILES } from '../linux/constants.ts'
import { ProgramBuilder } from './build.ts'
import {
  HOST, type Actor, type Argument, type Memory, type Phase, type Program, type Purpose, type Slot, type ThreadState,
} from './program.ts'
import { verifyProgram, type VerifyHost } from './verify.ts'

const PHASES: readonly Phase[] = ['files', 'tasks', 'descriptors', 'go']
const purpose: Purpose = { what: 'pid 66 "x"', phase: 'tasks' }
const ROOT = 66
const SOCKET = 1000
const places = { scratch: 0x100000, scratchSize: 0x40000, park: 0x140000, socket: SOCKET }
const nobody: VerifyHost = { pidTaken: () => false, nameOf: () => '' }

/** A builder that speaks for one purpose, and has made the root and says its state. */
class Said {
  readonly builder = new ProgramBuilder(PHASES)
  call = (actor: Actor, name: Parameters<ProgramBuilder['call']>[4], ...args: Argument[]): Slot<'value'> =>
    this.builder.call(purpose, actor, 'value', [], name, args)
  open = (actor: Actor): Slot<'fd'> => this.builder.call(purpose, actor, 'fd', [], 'openat', [-100, '/', 0, 0])
  slot = (actor: Actor): Slot<'fd'> => this.builder.slot('fd', actor)
  memory = (actor: Actor, size: number, holds?: Memory['holds'], pointers?: Memory['pointers']): Memory =>
    this.builder.memory(actor, size, holds, pointers)
  root = (task = ROOT): void => this.builder.spawn(purpose, HOST, task, { kind: 'root', sibling: false })
  child = (actor: Actor, task: number, flags = 0): void => this.builder.spawn(purpose, actor, task, { kind: 'child', flags })
  thread = (actor: Actor, task: number, process = ROOT): void =>
    this.builder.spawn(purpose, actor, task, { kind: 'thread', process })
  end = (actor: number, reap?: number): void => this.builder.end(purpose, actor, 0, reap)
  place = (actor: number, file: Slot<'fd'>, ...numbers: number[]): void =>
    this.builder.pass(purpose, actor, numbers.map(number => ({ file, number, cloexec: false })))
  lend = (actor: number, file: Slot<'fd'>): Slot<'fd'> => this.builder.lend(purpose, actor, [file])[0]!
  fill = (actor: number, ...runs: [address: number, length: number, offset?: number][]): void =>
    this.builder.fill(purpose, actor, this.open(HOST), runs.map(([address, length, offset = 0]) => ({ address, length, offset })))
  state = (thread: number): void => this.builder.host({ what: 'going on', phase: 'go' }, stateOf(thread))
}

const stateOf = (thread: number): ThreadState => ({
  name: 'state', thread, registers: new BigUint64Array(27), xstate: new Uint8Array(), sigmask: 0n, timed: undefined, stopped: 0,
})

const programOf = (builder: ProgramBuilder, root = ROOT): Program => ({ steps: builder.steps, places, root })

function found(say: (said: Said) => void, host = nobody): BardoError[] {
  const said = new Said()
  say(said)
  return verifyProgram(programOf(said.builder), host)
}

/** What is found in a program of a root that says this; the root has its state. */
const withRoot = (say: (said: Said) => void): string[] =>
  found(said => {
    said.root()
    say(said)
    said.state(ROOT)
  }).map(error => error.what)

const rules: [name: string, wrong: (said: Said) => void, findings: string[], right: (said: Said) => void][] = [
  [
    'a slot is made before it is used',
    said => said.call(HOST, 'lseek', said.slot(HOST), 0, 0),
    ['slot $1 is used before it is made'],
    said => said.call(HOST, 'lseek', said.open(HOST), 0, 0),
  ],
  [
    'so are the slots whose numbers are in memory',
    said => said.call(HOST, 'uname', said.memory(HOST, 8, [{ offset: 4, slot: said.slot(HOST) }])),
    ['slot $1 is used before it is made'],
    said => said.call(HOST, 'uname', said.memory(HOST, 8, [{ offset: 4, slot: said.open(HOST) }])),
  ],
  [
    'and those of memory that is pointed to',
    said => {
      const inner = said.memory(ROOT, 4, [{ offset: 0, slot: said.slot(ROOT) }])
      said.call(ROOT, 'capset', said.memory(ROOT, 8, [], [{ offset: 0, memory: inner }]))
    },
    ['slot $1 is used before it is made'],
    said => {
      const inner = said.memory(ROOT, 4, [{ offset: 0, slot: said.open(ROOT) }])
      said.call(ROOT, 'capset', said.memory(ROOT, 8, [], [{ offset: 0, memory: inner }]))
    },
  ],
  [
    'and the file whose path is opened',
    said => said.call(HOST, 'openat', -100, { kind: 'fd-path', of: said.slot(HOST) }, 0, 0),
    ['slot $1 is used before it is made'],
    said => said.call(HOST, 'openat', -100, { kind: 'fd-path', of: said.open(HOST) }, 0, 0),
  ],
  [
    'a slot is made once',
    said => {
      const result = said.slot(HOST)
      for (const bytes of [4096, 4096]) said.builder.host(purpose, { name: 'shared_memory', bytes, result })
    },
    ['slot $1 is made a second time'],
    said => {
      for (const bytes of [4096, 4096]) said.builder.host(purpose, { name: 'shared_memory', bytes, result: said.slot(HOST) })
    },
  ],
  [
    'a slot is of who makes it',
    said => said.builder.host(purpose, { name: 'shared_memory', bytes: 4096, result: said.slot(ROOT) }),
    [`slot $1 of task ${ROOT} is made by the coordinator`],
    said => said.builder.host(purpose, { name: 'shared_memory', bytes: 4096, result: said.slot(HOST) }),
  ],
  [
    'a file of the coordinator is passed to a task',
    said => said.call(ROOT, 'fchdir', said.open(HOST)),
    [`task ${ROOT} uses slot $1 of the coordinator`],
    said => said.call(ROOT, 'fchdir', said.lend(ROOT, said.open(HOST))),
  ],
  [
    'but a number of the coordinator can be told',
    said => said.call(HOST, 'fchdir', said.call(ROOT, 'getpid')),
    [`the coordinator uses slot $1 of task ${ROOT}`],
    said => said.call(ROOT, 'ftruncate', said.open(ROOT), said.call(HOST, 'getpid')),
  ],
  [
    'a file of a task is not the coordinator\'s',
    said => said.call(HOST, 'fchdir', said.open(ROOT)),
    [`the coordinator uses slot $1 of task ${ROOT}`],
    said => said.call(HOST, 'fchdir', said.open(HOST)),
  ],
  [
    'and not another task\'s, unless they share their descriptors',
    said => {
      said.child(ROOT, 70)
      said.call(70, 'fchdir', said.open(ROOT))
      said.state(70)
    },
    [`task 70 uses slot $1 of task ${ROOT}`],
    said => {
      said.child(ROOT, 70, CLONE_FILES)
      said.thread(ROOT, 67)
      said.call(70, 'fchdir', said.open(ROOT))
      said.call(67, 'fchdir', said.open(70))
      said.state(70)
      said.state(67)
    },
  ],
  [
    'what is passed, and what is filled from, is the coordinator\'s',
    said => {
      const file = said.open(ROOT)
      said.builder.fill(purpose, ROOT, file, [{ address: 4096, length: 4096, offset: 0 }])
      said.lend(ROOT, said.slot(HOST))
    },
    [`the coordinator uses slot $1 of task ${ROOT}`, 'slot $2 is used before it is made'],
    said => {
      said.fill(ROOT, [4096, 4096])
      said.lend(ROOT, said.open(HOST))
    },
  ],
  [
    'a task has no path of an open file of ours',
    said => said.call(ROOT, 'openat', -100, { kind: 'fd-path', of: said.open(HOST) }, 0, 0),
    [`task ${ROOT} uses the coordinator's path of slot $1`],
    said => said.call(HOST, 'openat', -100, { kind: 'fd-path', of: said.open(HOST) }, 0, 0),
  ],
  [
    'a closed file is not used again',
    said => {
      const file = said.lend(ROOT, said.open(HOST))
      said.call(ROOT, 'close', file)
      said.call(ROOT, 'fchdir', file)
    },
    ['slot $2 is used after it was closed'],
    said => {
      const file = said.lend(ROOT, said.open(HOST))
      said.call(ROOT, 'fchdir', file)
      said.call(ROOT, 'close', file)
    },
  ],
  [
    'memory is of who uses it',
    said => {
      said.call(ROOT, 'capset', said.memory(HOST, 8))
      said.call(HOST, 'uname', said.memory(ROOT, 8))
      said.child(ROOT, 70)
      said.call(70, 'capset', said.memory(ROOT, 8))
      said.state(70)
    },
    [
      `task ${ROOT} uses memory &1 of the coordinator`, `the coordinator uses memory &3 of task ${ROOT}`,
      `task 70 uses memory &5 of task ${ROOT}`,
    ],
    said => {
      said.call(HOST, 'uname', said.memory(HOST, 8))
      said.thread(ROOT, 67)
      said.call(67, 'capset', said.memory(ROOT, 8))
      said.state(67)
    },
  ],
  [
    'memory is read when a call has used it',
    said => said.builder.load(purpose, said.memory(HOST, 8), 4),
    ['memory &1 is read before a call has used it'],
    said => {
      const ends = said.memory(HOST, 8)
      said.call(HOST, 'pipe2', ends, 0)
      said.builder.load(purpose, ends, 4)
    },
  ],
  [
    'and by the coordinator alone',
    said => {
      const ends = said.memory(ROOT, 8)
      said.call(ROOT, 'pipe2', ends, 0)
      said.builder.load(purpose, ends, 4)
    },
    [`memory &1 of task ${ROOT} is read by the coordinator`, 'memory &1 is read before a call has used it'],
    said => {
      const inner = said.memory(HOST, 8)
      said.call(HOST, 'uname', said.memory(HOST, 8, [], [{ offset: 0, memory: inner }]))
      said.builder.load(purpose, inner, 0)
    },
  ],
  [
    'what is put into memory and taken out of it is inside of it',
    said => {
      const memory = said.memory(HOST, 8, [{ offset: 5, slot: said.open(HOST) }], [{ offset: 1, memory: said.memory(HOST, 1) }])
      said.call(HOST, 'uname', memory)
      said.builder.load(purpose, memory, -1)
    },
    ['memory &3 of 8 bytes has no 4 at 5', 'memory &3 of 8 bytes has no 8 at 1', 'memory &3 of 8 bytes has no 4 at -1'],
    said => {
      const memory = said.memory(HOST, 12, [{ offset: 8, slot: said.open(HOST) }], [{ offset: 0, memory: said.memory(HOST, 1) }])
      said.call(HOST, 'uname', memory)
      said.builder.load(purpose, memory, 8)
    },
  ],
  [
    'memory does not point to itself',
    said => {
      const pointers: { offset: number; memory: Memory }[] = []
      const memory = said.memory(HOST, 8, [], pointers)
      pointers.push({ offset: 0, memory })
      said.call(HOST, 'uname', memory)
    },
    ['memory &1 points to itself, or too deep'],
    said => {
      // Were each way through it walked, this would take years.
      let memory = said.memory(HOST, 8)
      for (let depth = 0; depth < 14; depth++) {
        const pointers = Array.from({ length: 40 }, (_, index) => ({ offset: index * 8, memory }))
        memory = said.memory(HOST, 320, [], pointers)
      }
      said.call(HOST, 'uname', memory)
    },
  ],
  [
    'a task is made before it is used',
    said => {
      said.call(70, 'setsid')
      said.call(70, 'setsid')
      said.place(71, said.open(HOST), 3)
      said.fill(72, [4096, 4096])
      said.child(73, 74)
      said.state(74)
      said.end(75, 76)
    },
    [
      'task 70 is used before it is made', 'task 71 is used before it is made', 'task 72 is used before it is made',
      'task 73 is used before it is made', 'task 75 is used before it is made', 'task 76 is used before it is made',
    ],
    said => {
      said.child(ROOT, 70)
      said.call(70, 'setsid')
      said.end(70, ROOT)
    },
  ],
  [
    'one that is made too late is told once',
    said => {
      const file = said.lend(70, said.open(HOST))
      said.child(ROOT, 70)
      said.call(70, 'close', file)
      said.state(70)
    },
    ['task 70 is used before it is made'],
    said => {
      said.child(ROOT, 70)
      said.call(70, 'close', said.lend(70, said.open(HOST)))
      said.state(70)
    },
  ],
  [
    'a task that ended is not used, nor are its threads',
    said => {
      said.child(ROOT, 70)
      said.thread(70, 71, 70)
      said.end(70)
      said.call(70, 'setsid')
      said.state(71)
    },
    ['task 70 is used after it ended', 'task 71 is used after it ended'],
    said => {
      said.child(ROOT, 70)
      said.thread(70, 71, 70)
      said.end(70)
    },
  ],
  [
    'a process is ended as such',
    said => {
      said.thread(ROOT, 67)
      said.end(67)
    },
    ['thread 67 is ended, which would end all of process 66', 'task 66 is used after it ended'],
    said => {
      said.child(ROOT, 67)
      said.end(67)
    },
  ],
  [
    'an id is one task\'s, even if that has ended',
    said => {
      said.child(ROOT, 70)
      said.end(70, ROOT)
      said.child(ROOT, 70)
      said.thread(ROOT, ROOT)
    },
    ['task 70 is made a second time', 'task 66 is made a second time'],
    said => {
      said.child(ROOT, 70)
      said.end(70, ROOT)
      said.child(ROOT, 71)
      said.state(71)
    },
  ],
  [
    'the coordinator makes the root alone, and once',
    said => {
      said.child(HOST, 70)
      said.state(70)
      said.root(71)
      said.state(71)
      said.builder.spawn(purpose, ROOT, 72, { kind: 'root', sibling: false })
      said.state(72)
    },
    [
      'task 70 is made by the coordinator, which makes the root alone', 'a second root 71 is made',
      'the root 72 is made by task 66', 'a second root 72 is made',
    ],
    () => {},
  ],
  [
    'a thread is made by its process',
    said => {
      said.child(ROOT, 70)
      said.thread(70, 71)
      said.state(70)
      said.state(71)
    },
    ['thread 71 of process 66 is made in process 70'],
    said => {
      said.thread(ROOT, 67)
      said.thread(67, 68)
      said.state(67)
      said.state(68)
    },
  ],
  [
    'an id can be one',
    said => {
      for (const id of [0, -1, 1.5]) {
        said.child(ROOT, id)
        said.state(id)
      }
    },
    ['0 is no id for a task', '-1 is no id for a task', '1.5 is no id for a task'],
    said => {
      said.child(ROOT, 1)
      said.state(1)
    },
  ],
  [
    'a number holds one file, over all steps',
    said => {
      const file = said.open(HOST)
      said.place(ROOT, file, 500, 501, 500)
      said.place(ROOT, file, 501)
    },
    ['two files are placed on descriptor 500', 'two files are placed on descriptor 501'],
    said => {
      const file = said.open(HOST)
      said.place(ROOT, file, 500, 501)
      said.place(ROOT, file, 502)
      said.call(ROOT, 'close', 501)
      said.place(ROOT, file, 501)
    },
  ],
  [
    'of each table',
    said => {
      const file = said.open(HOST)
      said.child(ROOT, 70, CLONE_FILES)
      said.place(ROOT, file, 500)
      said.place(70, file, 500)
      said.state(70)
    },
    ['two files are placed on descriptor 500'],
    said => {
      const file = said.open(HOST)
      said.child(ROOT, 70)
      said.place(ROOT, file, 500)
      said.place(70, file, 500)
      said.state(70)
    },
  ],
  [
    'and a child has what its parent had',
    said => {
      const file = said.open(HOST)
      said.place(ROOT, file, 500)
      said.child(ROOT, 70)
      said.place(70, file, 500)
      said.state(70)
    },
    ['two files are placed on descriptor 500'],
    said => {
      const file = said.open(HOST)
      said.place(ROOT, file, 500)
      said.child(ROOT, 70)
      said.call(70, 'close_range', 3, 0xffffffff, 4)
      said.call(70, 'close_range', 500, 500, 0)
      said.place(70, file, 500)
      said.call(ROOT, 'close_range', 400, 600, 0)
      said.place(ROOT, file, 500)
      said.state(70)
    },
  ],
  [
    'duplicates too',
    said => {
      const file = said.open(HOST)
      said.place(ROOT, file, 500)
      said.call(ROOT, 'dup3', 500, 501, 0)
      said.place(ROOT, file, 501)
    },
    ['two files are placed on descriptor 501'],
    said => {
      const file = said.open(HOST)
      said.place(ROOT, file, 500)
      const copy = said.builder.call(purpose, ROOT, 'fd', [], 'dup2', [500, 501])
      said.call(ROOT, 'close', copy)
      said.place(ROOT, file, 501)
    },
  ],
  [
    'the lowest numbers are free when files are placed',
    said => {
      const file = said.open(HOST)
      said.place(ROOT, file, 0, 1)
      said.place(ROOT, file, 2)
      said.child(ROOT, 70)
      said.call(70, 'close_range', 0, 0xffffffff, 0)
      said.lend(70, file)
      said.place(70, file, 0)
      said.state(70)
    },
    [
      'files cannot be placed in task 66: descriptor 0 is in the way',
      'descriptor 1000 is closed, by which files are passed',
      'files cannot be placed in task 70: a file that it was lent is in the way',
    ],
    said => {
      const file = said.open(HOST)
      said.place(ROOT, file, 5, 1)
      said.place(ROOT, file, 2)
      said.child(ROOT, 70)
      said.call(70, 'close_range', 0, 900, 0)
      said.call(70, 'close', said.lend(70, file))
      said.place(70, file, ...Array.from({ length: 700 }, (_, index) => index))
      said.state(70)
    },
  ],
  [
    'a number can be one',
    said => said.place(ROOT, said.open(HOST), -1, 1.5, 2 ** 31),
    ['-1 is no number of a descriptor', '1.5 is no number of a descriptor', '2147483648 is no number of a descriptor'],
    said => said.place(ROOT, said.open(HOST), 2 ** 31 - 1),
  ],
  [
    'the socket\'s number is no task\'s',
    said => {
      said.place(ROOT, said.open(HOST), SOCKET)
      said.call(ROOT, 'dup3', 0, SOCKET, 0)
    },
    [
      'a file is placed on 1000, the descriptor by which files are passed',
      'a file is placed on 1000, the descriptor by which files are passed', 'two files are placed on descriptor 1000',
    ],
    said => said.place(ROOT, said.open(HOST), SOCKET - 1, SOCKET + 1),
  ],
  [
    'and stays open',
    said => said.call(ROOT, 'close', SOCKET),
    ['descriptor 1000 is closed, by which files are passed'],
    said => said.call(ROOT, 'close_range', SOCKET + 1, 0xffffffff, 0),
  ],
  [
    'each living thread has one state',
    said => {
      said.thread(ROOT, 67)
      said.child(ROOT, 70)
      said.state(ROOT)
    },
    ['thread 67 has no state to go on with', 'thread 70 has no state to go on with', 'thread 66 has a state already'],
    said => {
      said.thread(ROOT, 67)
      said.child(ROOT, 70)
      said.end(70)
      said.state(67)
    },
  ],
  [
    'a task makes only calls that are known to be safe',
    said => {
      said.call(ROOT, 'execve', 'x', 0, 0)
      said.call(ROOT, 'exit', 0)
      said.call(ROOT, 'ptrace', 0)
      said.call(ROOT, 'recvmsg', 3, 0, 0)
    },
    [
      'task 66 may not call execve', 'task 66 may not call exit', 'task 66 may not call ptrace', 'task 66 may not call recvmsg',
    ],
    said => {
      said.call(HOST, 'recvmsg', 3, 0, 0)
      said.call(ROOT, 'setsid')
    },
  ],
  [
    'and for itself',
    said => {
      said.child(ROOT, 70)
      said.call(ROOT, 'kill', 70, 9)
      said.call(ROOT, 'tgkill', ROOT, 70, 9)
      said.call(ROOT, 'rt_sigqueueinfo', said.call(ROOT, 'getpid'), 1, 0)
      said.call(ROOT, 'prlimit64', 70, 0, 0, 0)
      said.call(ROOT, 'setpriority', 1, 0, 0)
      said.call(70, 'kill', 0, 9)
      said.state(70)
    },
    [
      'task 66 may not call kill', 'task 66 may not call tgkill', 'task 66 may not call rt_sigqueueinfo',
      'task 66 may not call prlimit64', 'task 66 may not call setpriority', 'task 70 may not call kill',
    ],
    said => {
      said.thread(ROOT, 67)
      said.call(ROOT, 'kill', ROOT, 9)
      said.call(67, 'rt_tgsigqueueinfo', ROOT, 67, 1, 0)
      said.call(ROOT, 'tgkill', ROOT, 67, 9)
      said.call(ROOT, 'prlimit64', 0, 0, 0, 0)
      said.call(ROOT, 'setpriority', 0, 0, 0)
      said.call(ROOT, 'setpgid', 0, 70)
      said.state(67)
    },
  ],
  [
    'a call has six arguments at most',
    said => said.call(HOST, 'mmap', 1, 2, 3, 4, 5, 6, 7),
    ['mmap has 7 arguments'],
    said => said.call(HOST, 'mmap', 1, 2, 3, 4, 5, 6),
  ],
  [
    'runs are of whole pages, and some',
    said => {
      said.fill(ROOT, [4096, -4096])
      said.fill(ROOT, [4096, 0])
      said.fill(ROOT, [4096, 100])
      said.fill(ROOT, [100, 4096])
      said.fill(ROOT, [4096, 4096, -1])
      said.fill(ROOT, [NaN, 4096])
      said.fill(ROOT, [1 << 30, Infinity])
      said.builder.add({ for: purpose, do: 'fill', actor: ROOT, file: said.open(HOST), runs: [] })
    },
    [...Array.from({ length: 7 }, () => 'a run is of no whole pages'), 'there is nothing to write'],
    said => said.fill(ROOT, [4096, 8192, 4096], [0x7fff00000000, 4096]),
  ],
  [
    'runs do not overlap, in whatever order they come',
    said => {
      said.fill(ROOT, [4096, 8192], [8192, 4096])
      said.fill(ROOT, [0x10000, 8192], [0x20000, 4096], [4096, 0x10000])
    },
    ['two runs write to one place, 0x2000', 'two runs write to one place, 0x10000'],
    said => {
      said.fill(ROOT, [4096, 8192], [12288, 4096])
      said.fill(ROOT, [0x10000, 8192], [0x20000, 4096], [4096, 0xf000])
    },
  ],
  [
    'nothing is written over what the restore itself uses',
    said => said.fill(ROOT, [places.scratch - 4096, 8192]),
    ['pages are written over the memory that the restore itself uses'],
    said => said.fill(ROOT, [places.scratch - 4096, 4096], [places.scratch + places.scratchSize, 4096]),
  ],
  [
    'shared memory has a size, and copies are of bytes',
    said => {
      const result = said.slot(HOST)
      said.builder.host(purpose, { name: 'shared_memory', bytes: 0, result })
      const runs = [{ address: 0, length: 10, offset: 0 }, { address: 5, length: 10, offset: -2 }]
      said.builder.host(purpose, { name: 'copy', from: said.slot(HOST), to: result, runs })
    },
    [
      'shared memory of 0 bytes', 'slot $2 is used before it is made', 'a run is of no whole bytes',
      'two runs write to one place, 0x5',
    ],
    said => {
      const result = said.slot(HOST)
      said.builder.host(purpose, { name: 'shared_memory', bytes: 4096, result })
      const runs = [{ address: 0, length: 10, offset: 0 }, { address: 10, length: 10, offset: 3 }]
      said.builder.host(purpose, { name: 'copy', from: said.open(HOST), to: result, runs })
    },
  ],
  [
    'an area of a thread is of one that is there',
    said => said.builder.host(purpose, { name: 'thread_area', thread: 70, entry: 12, desc: new Uint8Array(16) }),
    ['task 70 is used before it is made'],
    said => said.builder.host(purpose, { name: 'thread_area', thread: ROOT, entry: 12, desc: new Uint8Array(16) }),
  ],
]

describe('rules', () => {
  for (const [name, wrong, findings, right] of rules) {
    test(name, () => {
      expect(withRoot(wrong)).toEqual(findings)
      expect(withRoot(right)).toEqual([])
    })
  }
})

describe('the root', () => {
  test('is made', () => {
    expect(found(() => {}).map(({ what, where }) => [what, where])).toEqual(
      [['the root, process 66, is never made', 'a program of no steps']],
    )
  })
  test('has the id of the program\'s root', () => {
    const errors = found(said => {
      said.root(67)
      said.state(67)
    })
    expect(errors.map(error => error.what)).toEqual(['the root is made as 67 and not as 66'])
  })
})

describe('findings', () => {
  test('name step, purpose and phase, and how often they were met again', () => {
    const errors = found(said => {
      said.root()
      for (let times = 0; times < 3; times++) said.call(70, 'setsid')
      for (let times = 0; times < 2; times++) said.call(71, 'setsid')
      said.state(ROOT)
      said.state(ROOT)
    })
    expect(errors.map(({ code, what, where, why }) => [code, what, where, why])).toEqual([
      ['bug', 'task 70 is used before it is made', 'pid 66 "x"; phase tasks, step 2 of 8', 'and in 2 more steps'],
      ['bug', 'task 71 is used before it is made', 'pid 66 "x"; phase tasks, step 5 of 8', 'and in another step'],
      ['bug', 'thread 66 has a state already', 'going on; phase go, step 8 of 8', 'of step 7'],
    ])
    for (const { hint } of errors) expect(hint).toContain('report')
  })

  test('tell the ids that are taken on this host, once each, whoever needs them', () => {
    const asked: number[] = []
    const host: VerifyHost = {
      pidTaken(pid) {
        asked.push(pid)
        return pid !== 70
      },
      nameOf: pid => `name of ${pid}`,
    }
    const errors = found(said => {
      said.root()
      said.child(ROOT, 70)
      said.thread(70, 71, 70)
      for (const id of [ROOT, 70, 71]) said.state(id)
    }, host)
    expect(asked).toEqual([ROOT, 70, 71])
    expect(errors.map(({ code, what, where, why }) => [code, what, where, why])).toEqual([
      ['refused', 'pid 66 is in use', 'process 66 "name of 66" has it', 'it is needed for pid 66 "x"; phase tasks, step 1 of 6'],
      ['refused', 'pid 71 is in use', 'process 71 "name of 71" has it', 'it is needed for pid 66 "x"; phase tasks, step 3 of 6'],
    ])
    for (const { hint } of errors) expect(hint).toContain('unshare --pid')
  })
})

test('a million steps take some seconds at most', () => {
  const said = new Said()
  said.root()
  const file = said.open(HOST)
  for (let task = 100; task < 10_100; task++) {
    said.child(ROOT, task)
    said.place(task, file, 0, 1, 2)
    const lent = said.lend(task, file)
    const memory = said.memory(task, 8)
    for (let call = 0; call < 95; call++) said.call(task, 'mmap', 0, 4096, 3, 34, lent, memory)
    said.call(task, 'close', lent)
    said.state(task)
  }
  said.state(ROOT)
  const program = programOf(said.builder)
  expect(program.steps.length).toBeGreaterThan(990_000)
  const from = performance.now()
  expect(verifyProgram(program, nobody)).toEqual([])
  expect(performance.now() - from).toBeLessThan(10_000)
}, 60_000)
