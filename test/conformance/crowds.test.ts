// Images with very much of something: of what a file should have one of, of threads, descriptors, holes. Each is refused,
// or planned in memory and time that grow with the image and not with its square.
import { afterAll, expect, test } from 'bun:test'
import {
  closeSync,
  cpSync,
  mkdtempSync,
  openSync,
  readdirSync,
  rmSync,
  statSync,
  truncateSync,
  writeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { encodeEntry, Sink } from '../../src/image/codec.ts'
import { imageFiles } from '../../src/image/files.ts'
import { fd_types } from '../../src/image/messages/files.ts'
import { cpuTimeOf } from '../cpu-time.ts'
import { editImage } from './edit-image.ts'
import { Run } from './harness.ts'
import { prepare, prepareMeasured } from './planned.ts'
import { workloads } from './workload-list.ts'

const scratchFolder = mkdtempSync(join(tmpdir(), 'bardo-crowds-'))
afterAll(() => rmSync(scratchFolder, { recursive: true, force: true }))

/** Runs `use` with images of a small process, to be spoilt, while the process itself is gone. */
async function spoil(use: (folder: string, name: (start: string) => string) => void): Promise<void> {
  await using run = new Run(workloads.find(one => one.name === 'pipes')!)
  await run.start()
  const images = await run.dump()
  const folder = mkdtempSync(join(scratchFolder, 'images-'))
  cpSync(images, folder, { recursive: true })
  use(folder, start => readdirSync(folder).find(one => one.startsWith(start))!)
  await run.restore(images)
  await run.finish()
}

/** The one reason for which the images are refused. */
function refusalOf(folder: string, memory_max_mb: number): string {
  const { found, peak_mb } = prepareMeasured(folder)
  expect(found.map(({ code }) => code)).toEqual(['bad-image'])
  expect(peak_mb).toBeLessThan(memory_max_mb)
  return found[0]!.what
}

test(
  'a file of one entry that has fifty thousand',
  () =>
    spoil((folder, name) => {
      const core = name('core-')
      editImage(join(folder, core), 'CORE', ([only]) => Array.from({ length: 50_000 }, () => only!))
      expect(refusalOf(folder, 48)).toBe(`${core} holds more than one entry, and should hold one`)
    }),
  60_000,
)

test(
  'a process that has one thread many times',
  () =>
    spoil(folder => {
      editImage(join(folder, 'pstree.img'), 'PSTREE', ([root]) => [
        { ...root!, threads: Array.from({ length: 50_000 }, () => root!.pid) },
      ])
      expect(refusalOf(folder, 48)).toBe('a task has a thread twice')
    }),
  60_000,
)

test(
  'large entries that are holes',
  () =>
    spoil(folder => {
      const path = join(folder, 'files.img')
      const first = new Sink()
      editImage(path, 'FILES', entries => {
        const { reg } = entries.find(entry => entry.reg !== undefined)!
        encodeEntry(first, imageFiles.FILES.entry, { type: fd_types.REG, id: 7777, reg: { ...reg!, id: 7777 } })
        return entries
      })
      // Behind the fields of a file one that nobody knows, and that is kept: 32 MB of zeros, which take no room on the disk.
      const hole_bytes = 32 << 20
      const unknown = Uint8Array.of(0xfa, 0xff, 0x03, 0x80, 0x80, 0x80, 0x10)
      const front = Buffer.concat([first.written(), unknown])
      front.writeUInt32LE(front.length - 4 + hole_bytes)
      const file = openSync(path, 'r+')
      let end = statSync(path).size
      for (let count = 0; count < 40; count++) {
        writeSync(file, front, 0, front.length, end)
        end += front.length + hole_bytes
      }
      closeSync(file)
      truncateSync(path, end)
      expect(refusalOf(folder, 300)).toMatch(/^entries above 65536 bytes have more than/)
    }),
  60_000,
)

/** Four times what it takes as it grows with the number of files; with its square it took half as much again as this. */
const CPU_MAX_MS = 6000

test(
  'a hundred thousand files, each with a descriptor',
  () =>
    spoil((folder, name) => {
      const COUNT = 120_000
      const FIRST = 10_000
      editImage(join(folder, 'files.img'), 'FILES', entries => {
        const { reg } = entries.find(entry => entry.reg !== undefined)!
        const more = Array.from({ length: COUNT }, (_, index) => ({
          type: fd_types.REG,
          id: FIRST + index,
          reg: { ...reg!, id: FIRST + index },
        }))
        return [...entries, ...more]
      })
      editImage(join(folder, name('fdinfo-')), 'FDINFO', entries => [
        ...entries,
        ...Array.from({ length: COUNT }, (_, index) => ({
          id: FIRST + index,
          flags: 0,
          type: fd_types.REG,
          fd: FIRST + index,
        })),
      ])
      expect(cpuTimeOf(() => expect(prepare(folder)).toEqual([]))).toBeLessThan(CPU_MAX_MS)
    }),
  120_000,
)
