import { describe, expect, test } from 'bun:test'
import { cpuTimeOf } from '../../test/cpu-time.ts'
import { EMPTY_HOST, PLACES, ROOT, Said, found, foundWithRoot, purpose, type Rule } from '../../test/said.ts'
import { CLONE_FILES } from '../linux/constants.ts'
import { HOST, type Memory } from './program.ts'
import { verifyProgram, type VerifyHost } from './verify.ts'

const rules: readonly Rule[] = [
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
      for (const bytes of [4096, 4096]) said.shared(bytes, result)
    },
    ['slot $1 is made a second time'],
    said => {
      for (const bytes of [4096, 4096]) said.shared(bytes)
    },
  ],
  [
    'a slot is of who makes it',
    said => said.shared(4096, said.slot(ROOT)),
    [`slot $1 of task ${ROOT} is made by the coordinator`],
    said => said.shared(4096),
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
    "a file of a task is not the coordinator's",
    said => said.call(HOST, 'fchdir', said.open(ROOT)),
    [`the coordinator uses slot $1 of task ${ROOT}`],
    said => said.call(HOST, 'fchdir', said.open(HOST)),
  ],
  [
    "and not another task's, unless they share their descriptors",
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
    "what is passed, and what is filled from, is the coordinator's",
    said => {
      const file = said.open(ROOT)
      said.builder.fillMemory(purpose, ROOT, file, [{ address: 4096, length: 4096, offset: 0 }])
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
      `task ${ROOT} uses memory &1 of the coordinator`,
      `the coordinator uses memory &3 of task ${ROOT}`,
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
      const pointers = [{ offset: 1, memory: said.memory(HOST, 1) }]
      const memory = said.memory(HOST, 8, [{ offset: 5, slot: said.open(HOST) }], pointers)
      said.call(HOST, 'uname', memory)
      said.builder.load(purpose, memory, -1)
    },
    ['memory &3 of 8 bytes has no 4 at 5', 'memory &3 of 8 bytes has no 8 at 1', 'memory &3 of 8 bytes has no 4 at -1'],
    said => {
      const pointers = [{ offset: 0, memory: said.memory(HOST, 1) }]
      const memory = said.memory(HOST, 12, [{ offset: 8, slot: said.open(HOST) }], pointers)
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
    said => said.fill(ROOT, [PLACES.scratch - 4096, 8192]),
    ['pages are written over the memory that the restore itself uses'],
    said => said.fill(ROOT, [PLACES.scratch - 4096, 4096], [PLACES.scratch + PLACES.scratchSize, 4096]),
  ],
  [
    'shared memory has a size, and copies are of bytes',
    said => {
      const result = said.shared(0)
      const runs = [
        { address: 0, length: 10, offset: 0 },
        { address: 5, length: 10, offset: -2 },
      ]
      said.builder.host(purpose, { name: 'copy', from: said.slot(HOST), to: result, runs })
    },
    [
      'shared memory of 0 bytes',
      'slot $2 is used before it is made',
      'a run is of no whole bytes',
      'two runs write to one place, 0x5',
    ],
    said => {
      const result = said.shared(4096)
      const runs = [
        { address: 0, length: 10, offset: 0 },
        { address: 10, length: 10, offset: 3 },
      ]
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

describe('rules of slots and memory', () => {
  for (const [name, wrong, findings, right] of rules)
    test(name, () => {
      expect(foundWithRoot(wrong)).toEqual([...findings])
      expect(foundWithRoot(right)).toEqual([])
    })
})

describe('the root', () => {
  test('is made', () => {
    expect(found(() => {}).map(({ what, where }) => [what, where])).toEqual([
      ['the root, process 66, is never made', 'a program of no steps'],
    ])
  })
  test("has the id of the program's root", () => {
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
    const needed = 'it is needed for pid 66 "x"; phase tasks'
    expect(errors.map(({ code, what, where, why }) => [code, what, where, why])).toEqual([
      ['refused', 'pid 66 is in use', 'process 66 "name of 66" has it', `${needed}, step 1 of 6`],
      ['refused', 'pid 71 is in use', 'process 71 "name of 71" has it', `${needed}, step 3 of 6`],
    ])
    for (const { hint } of errors) expect(hint).toContain('unshare --pid')
  })
})

test('a million steps are verified in a time that grows with them', () => {
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
  const { program } = said
  expect(program.steps.length).toBeGreaterThan(990_000)
  // It takes a second or two; with the square of the steps it would take days.
  expect(cpuTimeOf(() => expect(verifyProgram(program, EMPTY_HOST)).toEqual([]))).toBeLessThan(20_000)
}, 60_000)
