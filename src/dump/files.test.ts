// The collector on live processes with odd descriptors. Linux says what they are; the images must say the same.
import { afterEach, beforeEach, expect, test } from 'bun:test'
import {
  closeSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { Report } from '../base/errors.ts'
import type { DumpOptions, External } from '../base/options.ts'
import { ImageDirectory } from '../image/directory.ts'
import { fd_types, type fdinfo_entry, type file_entry } from '../image/messages/files.ts'
import { ImageWriter } from '../image/writer.ts'
import { O_APPEND, O_LARGEFILE, O_RDWR, O_WRONLY } from '../linux/constants.ts'
import { FileCollector } from './files.ts'

let place: string
let imagesFd: number
const started: Bun.Subprocess[] = []

beforeEach(() => {
  place = mkdtempSync('/tmp/bardo-files-')
  imagesFd = openSync(place, 'r')
})

afterEach(() => {
  // The group: what the script started lives in it.
  for (const child of started.splice(0)) process.kill(-child.pid, 'SIGKILL')
  closeSync(imagesFd)
  rmSync(place, { recursive: true, force: true })
})

/** Starts a shell script that prints `ready` when its descriptors are set up, and then sleeps. Its pid. */
async function start(script: string): Promise<number> {
  const child = Bun.spawn(['/bin/bash', '-c', `cd ${place}; ${script}`], {
    stdin: 'ignore',
    stdout: Bun.file('/dev/null'),
    stderr: Bun.file('/dev/null'),
    detached: true,
  })
  started.push(child)
  for (let wait = 0; wait < 500; wait++) {
    if (readdirSync(place).includes('ready')) return child.pid
    await Bun.sleep(10)
  }
  throw new Error('the script did not become ready')
}

const childrenOf = (pid: number): number[] =>
  readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number)

type Collected = { images: ImageDirectory; report: Report; files: Map<number, file_entry> }

function collect(pids: readonly number[], more: { externals?: External[]; ghostLimitBytes?: number } = {}): Collected {
  const options = {
    externals: [],
    shellJob: false,
    fileValidation: 'buildid',
    ghostLimitBytes: 1 << 20,
    evasiveDevices: false,
    ...more,
  } as unknown as DumpOptions
  const report = new Report()
  const writer = new ImageWriter(imagesFd)
  const files = new FileCollector({
    images: writer,
    options,
    report,
    sessions: [],
    hasSession: () => true,
    hasTask: id => pids.includes(id),
  })
  for (const [i, pid] of pids.entries()) files.descriptors({ pid, comm: 'test', filesId: i + 1 }, () => false)
  files.finish()
  writer.finish()
  const images = new ImageDirectory(imagesFd)
  return { images, report, files: new Map(images.readAny('FILES').map(file => [file.id, file])) }
}

const table = (from: Collected, filesId = 1): Map<number, fdinfo_entry> =>
  new Map(from.images.read('FDINFO', filesId).map(entry => [entry.fd, entry]))
const fileOf = (from: Collected, fd: number, filesId = 1): file_entry =>
  from.files.get(table(from, filesId).get(fd)!.id)!

test('regular files: name, flags, position, size, sharing', async () => {
  writeFileSync(`${place}/data`, '0123456789')
  const pid = await start(`
    exec 3<data 4>>log 5<>data 6<&3 7<. 8</dev/zero; read -rN4 -u3
    (exec 3<&-; touch ready; exec sleep 1000) & wait`)
  const child = childrenOf(pid)[0]!
  const got = collect([pid, child])
  expect(got.report.findings).toEqual([])

  expect(fileOf(got, 3)).toMatchObject({
    type: fd_types.REG,
    reg: { name: `${place}/data`, flags: O_LARGEFILE, pos: 4n, size: 10n, build_id: [] },
  })
  expect(fileOf(got, 3).reg!.mode).toBe(statSync(`${place}/data`).mode)
  expect(fileOf(got, 4).reg).toMatchObject({ name: `${place}/log`, flags: O_WRONLY | O_APPEND | O_LARGEFILE })
  // A log may grow: its size is not held against it.
  expect(fileOf(got, 4).reg!.size).toBeUndefined()
  expect(fileOf(got, 5).reg).toMatchObject({ flags: O_RDWR | O_LARGEFILE, pos: 0n })
  expect(fileOf(got, 7).reg).toMatchObject({ name: place })
  expect(fileOf(got, 8).reg).toMatchObject({ name: '/dev/zero' })

  const parent = table(got)
  const inherited = table(got, 2)
  expect(parent.get(6)!.id).toBe(parent.get(3)!.id)
  expect(parent.get(5)!.id).not.toBe(parent.get(3)!.id)
  expect(inherited.get(6)!.id).toBe(parent.get(3)!.id)
  expect(inherited.has(3)).toBe(false)
  expect(inherited.get(5)!.id).toBe(parent.get(5)!.id)
  // bash keeps its script's other descriptors with FD_CLOEXEC; sleep has none of them.
  expect([...inherited.values()].every(entry => entry.flags === 0)).toBe(true)
})

test('a pipe and a fifo with data in them, which stays in them', async () => {
  const pid = await start(`
    mkfifo fifo; exec 4<>fifo; echo in the fifo >&4
    { echo in the pipe; exec sleep 1000 5>fifo; } | { touch ready; exec sleep 1000; } & wait`)
  const children = childrenOf(pid)
  await Bun.sleep(50)
  const got = collect([pid, ...children])
  expect(got.report.findings).toEqual([])

  const writes = fileOf(got, 1, 2)
  const reads = fileOf(got, 0, 3)
  expect(writes).toMatchObject({ type: fd_types.PIPE, pipe: { flags: O_WRONLY } })
  expect(reads).toMatchObject({ type: fd_types.PIPE, pipe: { flags: 0 } })
  expect(writes.pipe!.pipe_id).toBe(reads.pipe!.pipe_id)
  for (const [key, id, text] of [
    ['PIPES_DATA', reads.pipe!.pipe_id, 'in the pipe\n'],
    ['FIFO_DATA', statSync(`${place}/fifo`).ino, 'in the fifo\n'],
  ] as const) {
    const entries = got.images.readEntries(key)
    expect(entries.map(({ entry }) => entry)).toMatchObject([{ pipe_id: id, bytes: text.length, size: 65536 }])
    const name = key === 'PIPES_DATA' ? 'pipes-data.img' : 'fifo-data.img'
    expect(new TextDecoder().decode(got.images.payload(name, entries[0]!.payload))).toBe(text)
  }
  const fifo = fileOf(got, 4)
  expect(fifo.type).toBe(fd_types.FIFO)
  expect(got.files.get(fifo.fifo!.regf_id!)!.reg).toMatchObject({ name: `${place}/fifo`, flags: O_RDWR | O_LARGEFILE })

  // Another look finds the same: nothing was taken out.
  const again = collect([pid, ...children])
  expect(again.images.readEntries('PIPES_DATA')[0]!.payload.size).toBe('in the pipe\n'.length)
})

test('deleted files are carried, once, with holes left out', async () => {
  writeFileSync(`${place}/small`, 'still here')
  writeFileSync(`${place}/holes`, 'begin')
  truncateSync(`${place}/holes`, 1 << 20)
  const pid = await start('exec 3<small 4>>small 5<holes; rm small holes; touch ready; exec sleep 1000')
  const got = collect([pid])
  expect(got.report.findings).toEqual([])
  expect(fileOf(got, 3).reg).toMatchObject({ name: `${place}/small`, size: 10n })
  expect(got.images.read('REMAP_FPATH')).toMatchObject([
    { orig_id: table(got).get(3)!.id, remap_id: 1, remap_type: 1 },
    { orig_id: table(got).get(4)!.id, remap_id: 1, remap_type: 1 },
    { orig_id: table(got).get(5)!.id, remap_id: 2, remap_type: 1 },
  ])
  const small = got.images.readEntries('GHOST_FILE', 1)[0]!
  expect(new TextDecoder().decode(got.images.payload('ghost-file-1.img', small.payload))).toBe('still here')
  const holes = got.images.readEntries('GHOST_FILE', 2)[0]!
  expect(holes.entry).toMatchObject({ chunks: true, size: 1n << 20n })
  expect(holes.parts).toHaveLength(1)
  const part = got.images.payload('ghost-file-2.img', holes.parts[0]!.payload)
  expect(new TextDecoder().decode(part.subarray(0, 5))).toBe('begin')
  expect(part.length).toBeLessThan(1 << 16)
})

test('deleted directories and fifos are carried', async () => {
  const pid = await start(
    'mkdir dir; mkfifo fifo; exec 3<dir 4<>fifo; echo hi >&4; rmdir dir; rm fifo; touch ready; exec sleep 1000',
  )
  const got = collect([pid])
  expect(got.report.findings).toEqual([])
  expect(fileOf(got, 3).reg!.name).toBe(`${place}/dir`)
  expect(got.files.get(fileOf(got, 4).fifo!.regf_id!)!.reg!.name).toBe(`${place}/fifo`)
  expect([1, 2].map(id => got.images.readOne('GHOST_FILE', id).mode & 0o170000)).toEqual([0o040000, 0o010000])
})

test('all that is refused is told at once, by name', async () => {
  writeFileSync(`${place}/linked`, '')
  writeFileSync(`${place}/large`, new Uint8Array(64 << 10))
  const pid = await start(`
    exec 3<>/dev/tcp/127.0.0.1/${listener.port} 4<linked 5<large 6</proc/self/status
    ln linked other; rm linked large; touch ready; exec sleep 1000`)
  const got = collect([pid], { ghostLimitBytes: 4096 })
  const told = got.report.findings.map(finding => `${finding.what} @ ${finding.where}`)
  expect(told).toHaveLength(4)
  expect(told[0]).toMatch(/an internet socket is not supported yet @ pid \d+ "test", fd 3 -> socket:\[\d+\]$/)
  expect(told[1]).toMatch(/a file that its path does not lead to any more .*fd 4 -> .*\/linked \(deleted\)$/)
  expect(told[2]).toMatch(/larger than the image may carry \(65536 bytes, the limit is 4096\) .*fd 5/)
  expect(told[3]).toMatch(/\/proc that belongs to a process is not supported @ .*fd 6/)
  expect(got.report.findings.every(finding => finding.hint !== undefined)).toBe(true)
  // The others are there nonetheless.
  expect([...table(got).keys()].filter(fd => fd < 3)).toEqual([0, 1, 2])
})

const listener = Bun.listen({ hostname: '127.0.0.1', port: 0, socket: { data() {} } })
listener.unref()

test('a file is named once, however it is reached', async () => {
  const pid = await start('touch ready; exec sleep 1000')
  await Bun.sleep(50)
  const writer = new ImageWriter(imagesFd)
  const report = new Report()
  const options = { externals: [], fileValidation: 'buildid', ghostLimitBytes: 0 } as unknown as DumpOptions
  const files = new FileCollector({
    images: writer,
    options,
    report,
    sessions: [],
    hasSession: () => true,
    hasTask: () => true,
  })
  const task = { pid, comm: 'sleep' }
  const exe = files.named(task, 'exe')
  const range = /^(\S+) r--p 0+ .*\/sleep$/m.exec(readFileSync(`/proc/${pid}/maps`, 'utf8'))![1]!
  expect(files.named(task, `map_files/${range}`)).toBe(exe)
  expect(files.named(task, 'cwd')).not.toBe(exe)
  expect(files.named(task, 'root')).toBeGreaterThan(exe)
  writer.finish()
  expect(report.findings).toEqual([])
  const [entry] = new ImageDirectory(imagesFd).read('FILES')
  expect(entry!.reg).toMatchObject({ flags: 0, pos: 0n, size: BigInt(statSync(entry!.reg!.name).size) })
  expect(entry!.reg!.build_id).toHaveLength(5)
})

test('descriptors opened a thousand times are told apart, and dups are not', async () => {
  const pid = await start(
    'for fd in {100..1099}; do eval "exec $fd</dev/null $((fd+1000))<&$fd"; done; touch ready; sleep 1000',
  )
  const got = collect([pid])
  expect(got.report.findings).toEqual([])
  const all = table(got)
  const ids = new Set(Array.from({ length: 1000 }, (_, i) => all.get(100 + i)!.id))
  expect(ids.size).toBe(1000)
  for (let fd = 100; fd < 1100; fd++) expect(all.get(fd + 1000)!.id).toBe(all.get(fd)!.id)
})
