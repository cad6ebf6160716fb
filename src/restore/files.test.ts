// Files of an image become a program; the program's calls are made here one by one, and Linux is asked what came of it.
// It is long: a file of each sort, each with its own setting.
import { afterEach, beforeEach, expect, test } from 'bun:test'
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readlinkSync,
  readSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { bytesOf } from '../base/bytes.ts'
import { Report } from '../base/errors.ts'
import { externalKey, type External, type RestoreOptions } from '../base/options.ts'
import { ImageDirectory } from '../image/directory.ts'
import { fd_types } from '../image/messages/files.ts'
import { ImageWriter } from '../image/writer.ts'
import {
  F_GETFL,
  F_GETPIPE_SZ,
  F_GETSIG,
  O_APPEND,
  O_LARGEFILE,
  O_NONBLOCK,
  O_RDONLY,
  O_RDWR,
  O_WRONLY,
  S_IFDIR,
  S_IFIFO,
  S_IFREG,
} from '../linux/constants.ts'
import { Arena, syscall, type Word } from '../linux/ffi.ts'
import { NR } from '../linux/nr.ts'
import { must } from '../linux/sys.ts'
import { ProgramBuilder } from '../program/build.ts'
import { isSlot, type Argument, type Step } from '../program/program.ts'
import { RestoreBuild } from './build.ts'
import { FilePlan } from './files.ts'
import { PHASES } from './order.ts'

const fown = { uid: 0, euid: 0, signum: 0, pid_type: 0, pid: 0 }
const memory = new Arena(1 << 20)
let place: string
let imagesDir: string
let imagesFd: number
let writer: ImageWriter
const opened: number[] = []

beforeEach(() => {
  place = mkdtempSync('/tmp/bardo-plan-')
  imagesDir = `${place}/images`
  mkdirSync(imagesDir)
  imagesFd = openSync(imagesDir, 'r')
  writer = new ImageWriter(imagesFd)
})

afterEach(() => {
  for (const fd of opened.splice(0)) syscall(NR.close, fd)
  closeSync(imagesFd)
  rmSync(place, { recursive: true, force: true })
})

const addRegular = (id: number, name: string, more: object = {}): void =>
  writer.add('FILES', [], {
    type: fd_types.REG,
    id,
    reg: { id, flags: O_LARGEFILE, pos: 0n, fown, name, build_id: [], ...more },
  })
const addPipe = (id: number, pipe_id: number, flags: number): void =>
  writer.add('FILES', [], { type: fd_types.PIPE, id, pipe: { id, pipe_id, flags, fown } })

type Planned = { plan: FilePlan; at: RestoreBuild; program: ProgramBuilder; report: Report }

function load(
  more: Partial<RestoreOptions> & { inherited?: { fd: number; resource: External; key: string }[] } = {},
): Planned {
  writer.finish()
  const images = new ImageDirectory(imagesFd)
  const report = new Report()
  const options = {
    externals: [],
    inherited: [],
    root: undefined,
    skipFileRwxCheck: false,
    fileValidation: 'buildid',
    ...more,
  } as unknown as RestoreOptions
  const plan = new FilePlan({ images, options, report })
  const program = new ProgramBuilder(PHASES)
  const pids = new Set([process.pid])
  const at = new RestoreBuild({ images, options, program, files: plan, report, pids }, { what: 'test', phase: 'files' })
  return { plan, at, program, report }
}

/** Makes the calls; the numbers of slots. */
function run(steps: readonly Step[]): Map<number, number> {
  const values = new Map<number, number>()
  const places = new Map<number, number>()
  const text = (path: string): number => memory.put(Uint8Array.of(...bytesOf(path), 0))
  const word = (argument: Argument): Word => {
    if (typeof argument === 'number' || typeof argument === 'bigint') return argument
    if (typeof argument === 'string') return text(argument)
    if (isSlot(argument)) return values.get(argument.id)!
    if (argument.kind === 'fd-path') return text(`/proc/self/fd/${values.get(argument.of.id)}`)
    const at = memory.put(argument.bytes)
    places.set(argument.id, at)
    return at
  }
  for (const step of steps) {
    const mark = memory.mark()
    if (step.do === 'call') {
      const words = step.args.map(word)
      const result = syscall(NR[step.name], ...(words as [Word]))
      if (result < 0 && !step.accept.includes(-result)) throw new Error(`${step.name}(${words.join(', ')}): ${result}`)
      values.set(step.result.id, result)
      if (step.result.kind === 'fd') opened.push(result)
    } else if (step.do === 'load') {
      const fd = memory.view.getInt32(places.get(step.from.id)! - memory.address + step.offset, true)
      values.set(step.result.id, fd)
      opened.push(fd)
    } else throw new Error(step.do)
    memory.release(mark)
  }
  return values
}

const flagsOf = (fd: number): number => must('fcntl', fd, F_GETFL)
const posOf = (fd: number): number => must('lseek', fd, 0, 1)
const linkOf = (fd: number): string => readlinkSync(`/proc/self/fd/${fd}`)
const textIn = (fd: number, length: number): string => {
  const bytes = Buffer.alloc(length)
  return bytes.subarray(0, readSync(fd, bytes, 0, length, null)).toString()
}
const show = (steps: readonly Step[]): string[] =>
  steps.map(step => {
    const word = (of: Argument): string =>
      typeof of === 'string'
        ? JSON.stringify(of.replace(place, ''))
        : typeof of !== 'object'
          ? String(of)
          : isSlot(of)
            ? `$${of.id}`
            : of.kind === 'fd-path'
              ? `"/proc/self/fd/$${of.of.id}"`
              : '&'
    if (step.do === 'load') return `$${step.result.id} = load ${step.offset}`
    if (step.do !== 'call') return step.do
    return `$${step.result.id} = ${step.name}(${step.args.map(word).join(', ')})`
  })

test('a regular file is opened with its flags, at its position; others of the table share it', () => {
  writeFileSync(`${place}/data`, '0123456789')
  const mode = statSync(`${place}/data`).mode
  addRegular(5, `${place}/data`, { flags: O_RDWR | O_APPEND | O_LARGEFILE, pos: 4n, size: 10n, mode })
  writer.addAll(
    'FDINFO',
    [1],
    [
      { id: 5, flags: 1, type: fd_types.REG, fd: 9 },
      { id: 5, flags: 0, type: fd_types.REG, fd: 3 },
    ],
  )
  const { plan, at, program, report } = load()
  expect(plan.descriptors(1)).toEqual([
    { id: 5, fd: 3, cloexec: false },
    { id: 5, fd: 9, cloexec: true },
  ])
  const slot = plan.make(5, at)
  expect(plan.make(5, at)).toBe(slot)
  expect(report.findings).toEqual([])
  expect(show(program.steps)).toEqual(['$1 = openat(-100, "/data", 558338, 0)', '$2 = lseek($1, 4, 0)'])
  const fd = run(program.steps).get(slot.id)!
  expect(linkOf(fd)).toBe(`${place}/data`)
  expect(flagsOf(fd)).toBe(O_RDWR | O_APPEND | O_LARGEFILE)
  expect(posOf(fd)).toBe(4)
})

test('paths are looked up below --root, and links do not lead out of it', () => {
  mkdirSync(`${place}/root/etc`, { recursive: true })
  writeFileSync(`${place}/root/etc/own`, '')
  addRegular(1, '/etc/own', { mode: statSync(`${place}/root/etc/own`).mode, size: 0n })
  addRegular(2, '/../../../../etc/own', {})
  addRegular(3, '/etc/passwd', {})
  const { plan, at, program, report } = load({ root: `${place}/root` })
  const slots = [plan.make(1, at), plan.make(2, at)]
  plan.make(3, at)
  expect(report.findings).toMatchObject([{ what: 'cannot restore /etc/passwd: it does not exist', code: 'refused' }])
  const values = run(program.steps)
  for (const slot of slots) expect(linkOf(values.get(slot.id)!)).toBe(`${place}/root/etc/own`)
})

test('what changed is refused, all at once, before anything is made', () => {
  writeFileSync(`${place}/grown`, '12345')
  writeFileSync(`${place}/mode`, '', { mode: 0o600 })
  const build_id = [1, 2, 3, 4, 5]
  const sh = statSync('/bin/sh')
  addRegular(1, `${place}/none`, { mode: S_IFREG | 0o644 })
  addRegular(2, `${place}/grown`, { size: 4n })
  addRegular(3, `${place}/mode`, { mode: S_IFREG | 0o644 })
  addRegular(4, `${place}/mode`, { mode: S_IFIFO | 0o600 })
  addRegular(5, '/bin/sh', { size: BigInt(sh.size), mode: sh.mode, build_id })
  addRegular(6, 'relative')
  writer.add('FILES', [], { type: fd_types.INOTIFY, id: 7, ify: { id: 7, flags: 2, fown, wd: [] } })
  writer.addAll(
    'FDINFO',
    [1],
    [1, 2, 3, 4, 5, 6].map(id => ({ id, flags: 0, type: fd_types.REG, fd: 10 + id })),
  )
  const { plan, at, report } = load()
  plan.descriptors(1, { pid: 7, comm: 'cat' })
  for (let id = 1; id <= 7; id++) plan.make(id, at)
  const told = report.findings.map(({ what }) => what.replaceAll(place, ''))
  expect(told).toEqual([
    'cannot restore /none: it does not exist',
    'cannot restore /grown: it has 5 bytes and had 4',
    'cannot restore /mode: its mode is 0600 and was 0644',
    'cannot restore /mode: it is a regular file and was a fifo',
    expect.stringMatching(/^cannot restore \/bin\/sh: it has build id [0-9a-f]{40} and had 0100000002000000/),
    'file 6 has the path "relative", which is none',
    'cannot restore the file: an inotify descriptor is not supported yet',
  ])
  expect(report.findings[0]!.where).toBe(`pid 7 "cat", fd 11 -> ${place}/none`)
  const lenient = load({ skipFileRwxCheck: true })
  lenient.plan.make(3, lenient.at)
  expect(lenient.report.findings).toEqual([])
})

test('a pipe: size, data, both ends, and an end that was opened twice', () => {
  const data = 'x'.repeat(70_000)
  addPipe(1, 77, O_RDONLY | O_NONBLOCK)
  addPipe(2, 77, O_WRONLY)
  addPipe(3, 77, O_WRONLY | O_LARGEFILE)
  addPipe(4, 77, O_RDWR | O_LARGEFILE)
  writer.add('PIPES_DATA', [], { pipe_id: 5, bytes: 3, size: 4096 }, new TextEncoder().encode('odd'))
  writer.add('PIPES_DATA', [], { pipe_id: 77, bytes: data.length, size: 1 << 17 }, new TextEncoder().encode(data))
  const { plan, at, program, report } = load()
  const slots = [1, 2, 3, 4].map(id => plan.make(id, at))
  expect(report.findings).toEqual([])
  const values = run(program.steps)
  const [reads, writes, again, both] = slots.map(slot => values.get(slot.id)!) as [number, number, number, number]
  expect([reads, writes, again, both].map(flagsOf)).toEqual([
    O_RDONLY | O_NONBLOCK,
    O_WRONLY,
    O_WRONLY | O_LARGEFILE,
    O_RDWR | O_LARGEFILE,
  ])
  expect(new Set([reads, writes, again, both].map(linkOf)).size).toBe(1)
  expect(must('fcntl', reads, F_GETPIPE_SZ)).toBe(1 << 17)
  expect(textIn(reads, 1 << 17)).toBe(data)
  expect(() => textIn(reads, 1)).toThrow('EAGAIN')
})

test('a pipe may be full to the last byte', () => {
  const data = 'y'.repeat(4096 * 16)
  addPipe(1, 1, O_RDONLY)
  writer.add('PIPES_DATA', [], { pipe_id: 1, bytes: data.length, size: data.length }, new TextEncoder().encode(data))
  const { plan, at, program } = load()
  const slot = plan.make(1, at)
  expect(textIn(run(program.steps).get(slot.id)!, 1 << 17)).toBe(data)
})

test('an inherited descriptor stands for a pipe, with flags of its own', () => {
  addPipe(1, 42, O_WRONLY)
  const ends = memory.take(8)
  must('pipe2', ends, 0)
  const [reads, writes] = [
    memory.view.getInt32(ends - memory.address, true),
    memory.view.getInt32(ends - memory.address + 4, true),
  ]
  opened.push(reads, writes)
  const resource: External = { kind: 'pipe', ino: 42 }
  const { plan, at, program } = load({ inherited: [{ fd: writes, resource, key: externalKey(resource) }] })
  const slot = plan.make(1, at)
  const fd = run(program.steps).get(slot.id)!
  expect(linkOf(fd)).toBe(linkOf(reads))
  expect(flagsOf(fd) & O_NONBLOCK).toBe(0)
})

test('a fifo gets its data, and each description its flags', () => {
  must('mknodat', -100, `${place}/fifo`, S_IFIFO | 0o600, 0)
  const { mode, ino } = statSync(`${place}/fifo`)
  for (const [id, flags] of [
    [1, O_RDONLY],
    [3, O_WRONLY | O_NONBLOCK],
  ] as const) {
    addRegular(id + 1, `${place}/fifo`, { flags: flags | O_LARGEFILE, mode })
    writer.add('FILES', [], { type: fd_types.FIFO, id, fifo: { id, pipe_id: ino, regf_id: id + 1 } })
  }
  writer.add('FIFO_DATA', [], { pipe_id: ino, bytes: 5, size: 65536 }, new TextEncoder().encode('hello'))
  const { plan, at, program, report } = load()
  const slots = [plan.make(1, at), plan.make(3, at)]
  expect(report.findings).toEqual([])
  const values = run(program.steps)
  const [reads, writes] = slots.map(slot => values.get(slot.id)!) as [number, number]
  expect([flagsOf(reads), flagsOf(writes)]).toEqual([O_RDONLY | O_LARGEFILE, O_WRONLY | O_NONBLOCK | O_LARGEFILE])
  expect(textIn(reads, 100)).toBe('hello')
})

test('deleted files come back without a name, with contents, holes, owner, mode and times', () => {
  const ghost = {
    uid: 1,
    gid: 2,
    mode: S_IFREG | 0o4640,
    atim: { tv_sec: 5n, tv_usec: 6n },
    mtim: { tv_sec: 7n, tv_usec: 8n },
  }
  writeFileSync(`${place}/taken`, 'mine')
  addRegular(1, `${place}/small`, { flags: O_RDONLY | O_LARGEFILE, pos: 2n })
  addRegular(2, `${place}/small`, { flags: O_WRONLY | O_APPEND | O_LARGEFILE })
  addRegular(3, `${place}/other name`, {})
  addRegular(4, `${place}/gone/deep/holes`, { flags: O_RDWR | O_LARGEFILE })
  addRegular(5, `${place}/taken`, {})
  for (const [orig_id, remap_id] of [
    [1, 1],
    [2, 1],
    [3, 1],
    [4, 2],
    [5, 3],
  ] as const)
    writer.add('REMAP_FPATH', [], { orig_id, remap_id, remap_type: 1 })
  writer.add('GHOST_FILE', [1], ghost, new TextEncoder().encode('contents'))
  writer.add('GHOST_FILE', [2], { ...ghost, chunks: true, size: 1n << 20n })
  writer.addPart('GHOST_FILE', [2], { len: 3n, off: 8192n }, new TextEncoder().encode('abc'))
  writer.add('GHOST_FILE', [3], ghost, new TextEncoder().encode('another'))
  const { plan, at, program, report } = load()
  const slots = [1, 2, 3, 4, 5].map(id => plan.make(id, at))
  expect(report.findings).toEqual([])
  const values = run(program.steps)
  const fds = slots.map(slot => values.get(slot.id)!)
  const [small, appends, other, holes, taken] = fds as [number, number, number, number, number]
  expect(fds.map(linkOf)).toEqual([
    `${place}/small (deleted)`,
    `${place}/small (deleted)`,
    `${place}/other name (deleted)`,
    `${place}/gone/deep/holes (deleted)`,
    `${place}/taken.ghost-3 (deleted)`,
  ])
  expect(
    [small, appends, other].map(fd => statSync(`/proc/self/fd/${fd}`).ino).every((ino, _, all) => ino === all[0]),
  ).toBe(true)
  const stat = statSync(`/proc/self/fd/${small}`)
  expect(stat).toMatchObject({
    uid: 1,
    gid: 2,
    mode: ghost.mode,
    atimeMs: 5000.006,
    mtimeMs: 7000.008,
    nlink: 0,
    size: 8,
  })
  expect(textIn(small, 100)).toBe('ntents')
  expect(flagsOf(appends)).toBe(O_WRONLY | O_APPEND | O_LARGEFILE)
  const sparse = readFileSync(`/proc/self/fd/${holes}`)
  expect(sparse.length).toBe(1 << 20)
  expect(sparse.subarray(8191, 8196).toString()).toBe('\0abc\0')
  expect(statSync(`/proc/self/fd/${holes}`).blocks).toBeLessThanOrEqual(16)
  expect(textIn(taken, 100)).toBe('another')
  expect(readFileSync(`${place}/taken`, 'utf8')).toBe('mine')
  expect(existsSync(`${place}/small`) || existsSync(`${place}/holes`)).toBe(false)
})

test('deleted directories and fifos come back too', () => {
  const ghost = { uid: 0, gid: 0 }
  addRegular(1, `${place}/dir`, {})
  addRegular(2, `${place}/fifo`, { flags: O_RDONLY | O_NONBLOCK | O_LARGEFILE, mode: S_IFIFO | 0o600 })
  writer.add('FILES', [], { type: fd_types.FIFO, id: 3, fifo: { id: 3, pipe_id: 8, regf_id: 2 } })
  writer.add('FIFO_DATA', [], { pipe_id: 8, bytes: 2, size: 65536 }, new TextEncoder().encode('hi'))
  writer.add('REMAP_FPATH', [], { orig_id: 1, remap_id: 1, remap_type: 1 })
  writer.add('REMAP_FPATH', [], { orig_id: 2, remap_id: 2, remap_type: 1 })
  writer.add('GHOST_FILE', [1], { ...ghost, mode: S_IFDIR | 0o711 })
  writer.add('GHOST_FILE', [2], { ...ghost, mode: S_IFIFO | 0o600 })
  const { plan, at, program, report } = load()
  const slots = [plan.make(1, at), plan.make(3, at)]
  expect(report.findings).toEqual([])
  const values = run(program.steps)
  const [dir, fifo] = slots.map(slot => values.get(slot.id)!) as [number, number]
  expect([linkOf(dir), linkOf(fifo)]).toEqual([`${place}/dir (deleted)`, `${place}/fifo (deleted)`])
  expect(statSync(`/proc/self/fd/${dir}`).mode).toBe(S_IFDIR | 0o711)
  expect(textIn(fifo, 100)).toBe('hi')
  expect(existsSync(`${place}/dir`) || existsSync(`${place}/fifo`)).toBe(false)
})

test('owner and signal are set when the tasks exist', () => {
  addPipe(1, 1, O_RDONLY)
  addPipe(2, 1, O_WRONLY | 0o20000)
  writer.add('FILES', [], {
    type: fd_types.PIPE,
    id: 3,
    pipe: {
      id: 3,
      pipe_id: 2,
      flags: 0,
      fown: { ...fown, uid: 5, euid: 6, pid: process.pid, pid_type: 1, signum: 12 },
    },
  })
  writer.add('FILES', [], {
    type: fd_types.PIPE,
    id: 4,
    pipe: { id: 4, pipe_id: 3, flags: 0, fown: { ...fown, pid: 1, pid_type: 1 } },
  })
  const { plan, at, program, report } = load()
  const slots = [1, 2, 3, 4].map(id => plan.make(id, at))
  expect(report.findings).toMatchObject([{ code: 'unsupported', where: 'file 4 -> pipe' }])
  const late = program.steps.filter(step => step.for.phase === 'signals')
  expect(show(late).map(line => line.replace(/\$\d+/g, '$'))).toEqual([
    '$ = fcntl($, 4, 8192)',
    '$ = setresuid(5, 6, -1)',
    '$ = fcntl($, 15, &)',
    '$ = setresuid(0, 0, -1)',
  ])
  const values = run(program.steps)
  const fd = values.get(slots[2]!.id)!
  expect(must('fcntl', fd, F_GETSIG)).toBe(12)
  const owner = memory.take(8)
  must('fcntl', fd, 16, owner)
  expect([...new Uint32Array(memory.at(owner, 8).slice().buffer)]).toEqual([1, process.pid])
  must('fcntl', fd, 17, owner)
  expect([...new Uint32Array(memory.at(owner, 8).slice().buffer)]).toEqual([5, 6])
  expect(process.geteuid!()).toBe(0)
})

test('a damaged image is told as one', () => {
  addRegular(1, '/x')
  writer.addAll('FDINFO', [1], [{ id: 2, flags: 0, type: fd_types.REG, fd: 0 }])
  writer.addAll('FDINFO', [2], [{ id: 1, flags: 0, type: fd_types.PIPE, fd: 0 }])
  writer.addAll(
    'FDINFO',
    [3],
    [
      { id: 1, flags: 0, type: fd_types.REG, fd: 0 },
      { id: 1, flags: 0, type: fd_types.REG, fd: 0 },
    ],
  )
  writer.add('PIPES_DATA', [], { pipe_id: 9, bytes: 5000, size: 4096 }, new Uint8Array(5000))
  addPipe(5, 9, 0)
  const { plan, at, report } = load()
  for (const [filesId, text] of [
    [1, 'of file 2, which'],
    [2, 'another type'],
    [3, 'twice'],
  ] as const)
    expect(() => plan.descriptors(filesId)).toThrow(text)
  plan.make(5, at)
  plan.make(6, at)
  expect(report.findings.map(({ code, what }) => [code, what])).toEqual([
    ['bad-image', 'pipe 9 cannot hold 5000 bytes in a size of 4096'],
    ['bad-image', 'files.img has no file 6'],
  ])
})
