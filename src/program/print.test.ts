import { describe, expect, test } from 'bun:test'
import { ENOENT, ESRCH } from '../linux/constants.ts'
import { REG, REG_COUNT } from '../linux/arch/x86-64.ts'
import { NR } from '../linux/nr.ts'
import { ProgramBuilder } from './build.ts'
import { eachLine, printProgram, printStep } from './print.ts'
import { HOST, type Phase, type Program, type Purpose, type ThreadState } from './program.ts'

const PHASES: readonly Phase[] = ['files', 'tasks', 'descriptors', 'go']
const purposeOf = (what: string, phase: Phase): Purpose => ({ what, phase })
const forFile = purposeOf('a file', 'files')
const forTask = purposeOf('pid 66 "x"', 'tasks')

/** What is said, as lines without headings. */
function printed(say: (program: ProgramBuilder) => void): string[] {
  const program = new ProgramBuilder(PHASES)
  say(program)
  return program.steps.map(step => printStep(step))
}

const state = (more: Partial<ThreadState>): ThreadState => {
  const registers = new BigUint64Array(REG_COUNT)
  registers[REG.ip] = 0x401000n
  registers[REG.sp] = 0x7ffd_0000_1230n
  return {
    name: 'state',
    thread: 66,
    registers,
    xstate: new Uint8Array(),
    sigmask: 0n,
    timed: undefined,
    stopped: 0,
    ...more,
  }
}

const cases: [name: string, say: (program: ProgramBuilder) => void, ...lines: string[]][] = [
  [
    'a call of the coordinator',
    program => program.call(forFile, HOST, 'fd', [], 'openat', [-100, '/dev/null', 0o2000002, 0]),
    'host: $1 = openat(AT_FDCWD, "/dev/null", O_RDWR|O_CLOEXEC, 0)   # a file',
  ],
  [
    'a call of a task',
    program => program.call(forTask, 66, 'value', [], 'mmap', [0x7f1200000000n, 0x21000, 3, 0x100022, -1, 0]),
    '  66: $1 = mmap(0x7f1200000000, 0x21000, PROT_READ|PROT_WRITE, ' +
      'MAP_PRIVATE|MAP_FIXED_NOREPLACE|MAP_ANONYMOUS, -1, 0)   # pid 66 "x"',
  ],
  [
    'errors that are as good as success',
    program => program.call(forFile, HOST, 'value', [ENOENT, ESRCH, 4000], 'unlinkat', [-100, 'x', 0]),
    'host: $1 = unlinkat(AT_FDCWD, "x", 0) (or ENOENT, ESRCH, errno 4000)   # a file',
  ],
  [
    'slots, paths of open files, and what the kernel wrote',
    program => {
      const ends = program.memory(HOST, 8)
      program.call(forFile, HOST, 'value', [], 'pipe2', [ends, 0o2000000])
      const writes = program.load(forFile, ends, 4)
      program.call(forFile, HOST, 'fd', [], 'openat', [-100, { kind: 'fd-path', of: writes }, 0o2000001, 0])
    },
    'host: $2 = pipe2(&1{8 zero bytes}, O_CLOEXEC)   # a file',
    'host: $3 = load(&1 + 4)   # a file',
    'host: $4 = openat(AT_FDCWD, /proc/self/fd/$3, O_WRONLY|O_CLOEXEC, 0)   # a file',
  ],
  [
    'memory: its bytes, its slots and its pointers',
    program => {
      const fd = program.slot('fd', 66)
      const inner = program.memory(66, Uint8Array.of(1, 0xab))
      const bytes = new Uint8Array(104).fill(0xff)
      const outer = program.memory(66, bytes, [{ offset: 100, slot: fd }], [{ offset: 88, memory: inner }])
      program.call(forTask, 66, 'value', [], 'prctl', [35, 14, outer, 104, 0])
      program.call(forTask, 66, 'value', [], 'prctl', [15, program.memory(66, bytes.subarray(0, 16)), 0, 0, 0])
      program.call(forTask, 66, 'value', [], 'prctl', [15, program.memory(66, 1), 0, 0, 0])
      program.call(forTask, 66, 'value', [], 'prctl', [15, program.memory(66, 0), 0, 0, 0])
    },
    '  66: $4 = prctl(PR_SET_MM, PR_SET_MM_MAP, ' +
      '&3{ffffffffffffffffffffffffffffffff…, 104 bytes, 100: $1, 88: &2{01ab}}, 104, 0)   # pid 66 "x"',
    '  66: $6 = prctl(PR_SET_NAME, &5{ffffffffffffffffffffffffffffffff}, 0, 0, 0)   # pid 66 "x"',
    '  66: $8 = prctl(PR_SET_NAME, &7{1 zero byte}, 0, 0, 0)   # pid 66 "x"',
    '  66: $10 = prctl(PR_SET_NAME, &9{0 bytes}, 0, 0, 0)   # pid 66 "x"',
  ],
  [
    'files for a task, to stay and for a while',
    program => {
      const file = program.slot('fd', HOST)
      program.pass(forTask, 66, [
        { file, number: 0, cloexec: false },
        { file, number: 7, cloexec: true },
      ])
      program.lend(forTask, 66, [file, file])
      program.pass(forTask, 66, [{ file, number: undefined, cloexec: false }])
    },
    '  66: pass $1 at 0, $1 at 7 cloexec   # pid 66 "x"',
    '  66: pass $1 as $2 cloexec, $1 as $3 cloexec   # pid 66 "x"',
    '  66: pass $1   # pid 66 "x"',
  ],
  [
    'pages',
    program => {
      const file = program.slot('fd', HOST)
      program.fillMemory(forTask, 66, file, [{ address: 0x400000, length: 8192, offset: 0 }])
      program.fillMemory(forTask, 66, file, [
        { address: 0x400000, length: 8192, offset: 0 },
        { address: 0x7fff00000000, length: 4096, offset: 8192 },
      ])
    },
    '  66: fill from $1: 1 run, 8192 bytes within 0x400000-0x402000   # pid 66 "x"',
    '  66: fill from $1: 2 runs, 12288 bytes within 0x400000-0x7fff00001000   # pid 66 "x"',
  ],
  [
    'tasks made and ended',
    program => {
      program.spawn(forTask, HOST, 66, { kind: 'root', sibling: false })
      program.spawn(forTask, HOST, 66, { kind: 'root', sibling: true })
      program.spawn(forTask, 66, 70, { kind: 'child', flags: 0 })
      program.spawn(forTask, 66, 71, { kind: 'child', flags: 0x8600 })
      program.spawn(forTask, 66, 67, { kind: 'thread', process: 66 })
      program.end(forTask, 70, 3 << 8, 66)
      program.end(forTask, 71, 9, undefined)
      program.end(forTask, 72, 0x80 | 11, undefined)
    },
    'host: spawn 66, the root   # pid 66 "x"',
    'host: spawn 66, the root, as our sibling   # pid 66 "x"',
    '  66: spawn 70   # pid 66 "x"',
    '  66: spawn 71, CLONE_FS|CLONE_FILES|CLONE_PARENT   # pid 66 "x"',
    '  66: spawn 67, a thread of 66   # pid 66 "x"',
    '  70: end by exit status 3, reaped by 66   # pid 66 "x"',
    '  71: end by SIGKILL, a zombie   # pid 66 "x"',
    '  72: end by SIGSEGV (core dumped), a zombie   # pid 66 "x"',
  ],
  [
    'acts of the coordinator',
    program => {
      const result = program.slot('fd', HOST)
      program.host(forFile, { name: 'shared_memory', bytes: 8192, result })
      const runs = [{ address: 0x1000, length: 4096, offset: 0 }]
      program.host(forFile, { name: 'copy', from: program.slot('fd', HOST), to: result, runs })
      program.host(forTask, { name: 'thread_area', thread: 66, entry: 12, desc: Uint8Array.of(1, 2, 3) })
      program.host(forTask, state({}))
      const timed = { nr: NR.nanosleep, left_ns: 1500n }
      program.host(forTask, state({ sigmask: 0x8000000000000000n, timed, stopped: 19 }))
      program.host(forTask, state({ timed: { nr: 5000, left_ns: undefined } }))
    },
    'host: $1 = shared_memory(8192)   # a file',
    'host: copy $2 to $1: 1 run, 4096 bytes within 0x1000-0x2000   # a file',
    'host: thread_area of 66: entry 12, 010203   # pid 66 "x"',
    'host: state of 66: ip 0x401000, sp 0x7ffd00001230   # pid 66 "x"',
    'host: state of 66: ip 0x401000, sp 0x7ffd00001230, sigmask 0x8000000000000000, in nanosleep again, ' +
      '1500 ns left, stopped by SIGSTOP   # pid 66 "x"',
    'host: state of 66: ip 0x401000, sp 0x7ffd00001230, in call 5000 again   # pid 66 "x"',
  ],
  [
    'names that would do something to a terminal, or to the line',
    program => {
      const path = 'a"b\\c\n\t\u001b[2J\udcff\u009b\u202eé😀\ud800'
      program.call({ what: `pid 1 "${path}"`, phase: 'files' }, HOST, 'value', [], 'chdir', [path])
    },
    'host: $1 = chdir("a\\"b\\\\c\\n\\t\\x1b[2J\\xff\\xc2\\x9b\\xe2\\x80\\xaeé😀\\ud800")   ' +
      '# pid 1 "a"b\\c\\n\\t\\x1b[2J\\xff\\xc2\\x9b\\xe2\\x80\\xaeé😀\\ud800"',
  ],
]

describe('a step is a line', () => {
  for (const [name, say, ...lines] of cases) test(name, () => expect(printed(say)).toEqual(lines))

  test('memory that points to itself is printed so far', () => {
    const program = new ProgramBuilder(PHASES)
    const pointers: { offset: number; memory: ReturnType<ProgramBuilder['memory']> }[] = []
    const memory = program.memory(HOST, 8, [], pointers)
    pointers.push({ offset: 0, memory })
    program.call(forFile, HOST, 'value', [], 'uname', [memory])
    const inner = '&1{8 zero bytes, 0: '
    expect(printStep(program.steps[0]!)).toBe(`host: $2 = uname(${inner.repeat(4)}&1${'}'.repeat(4)})   # a file`)
  })
})

describe('a program', () => {
  const builder = new ProgramBuilder(PHASES)
  builder.spawn(forTask, HOST, 1234567, { kind: 'root', sibling: false })
  builder.call(forTask, 1234567, 'value', [], 'setsid', [])
  builder.call(forFile, HOST, 'value', [], 'getpid', [])
  const program: Program = {
    steps: builder.steps,
    root: 1234567,
    places: { scratch: 0x100000, scratchSize: 0x40000, park: 0x140000, socket: 1000 },
  }
  const lines = [
    'root 1234567, scratch memory 0x100000-0x140000, vdso parked at 0x140000, socket 1000',
    '',
    '[files] because of files',
    '   host: $2 = getpid()   # a file',
    '',
    '[tasks] because of tasks',
    '   host: spawn 1234567, the root   # pid 66 "x"',
    '1234567: $1 = setsid()   # pid 66 "x"',
  ]

  test('has its phases as headings, with their reasons', () => {
    expect(printProgram(program, phase => `because of ${phase}`)).toBe(`${lines.join('\n')}\n`)
  })

  test('is given line by line', () => {
    const written: string[] = []
    eachLine(
      program,
      line => written.push(line),
      phase => `because of ${phase}`,
    )
    expect(written).toEqual(lines)
  })

  test('of steps alone has headings alone', () => {
    expect(printProgram({ steps: builder.steps.slice(0, 1) })).toBe('[files]\nhost: $2 = getpid()   # a file\n')
    expect(printProgram({ steps: [] })).toBe('')
  })

  test('is printed alike each time', () => expect(printProgram(program)).toBe(printProgram(program)))
})
