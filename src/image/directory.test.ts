import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import {
  closeSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { BardoError } from '../base/errors.ts'
import { must } from '../linux/sys.ts'
import { ImageDirectory, openImageDirectory } from './directory.ts'
import { type inventory_entry } from './messages/inventory.ts'
import type { ipc_msg_entry } from './messages/ipc.ts'
import type { pagemap_entry } from './messages/mm.ts'
import { type pstree_entry } from './messages/pstree.ts'
import type { PagemapRun } from './pagemap.ts'
import { unknownFields } from './words.ts'
import { ImageWriter } from './writer.ts'

let folder: string
let fd: number
let images: ImageDirectory

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'bardo-images-'))
  fd = openImageDirectory(folder)
  images = new ImageDirectory(fd)
})
afterEach(() => {
  images[Symbol.dispose]()
  closeSync(fd)
  rmSync(folder, { recursive: true })
})

const task = (pid: number): pstree_entry => ({ pid, ppid: 0, pgid: pid, sid: pid, threads: [pid] })
const inventory: inventory_entry = { img_version: 2 }
const at = (name: string): string => join(folder, name)

function failure(run: () => unknown): BardoError {
  try {
    run()
  } catch (thrown) {
    if (thrown instanceof BardoError) return thrown
    throw thrown
  }
  throw new Error('nothing was thrown')
}

describe('a written directory', () => {
  test('is read again', () => {
    const writer = new ImageWriter(fd)
    writer.add('INVENTORY', [], inventory)
    writer.add('PSTREE', [], task(1))
    writer.addAll('PSTREE', [], [task(2), task(3)])
    expect(readdirSync(folder)).toEqual([])
    writer.finish()
    expect(images.list()).toEqual(['inventory.img', 'pstree.img'])
    expect(images.read('PSTREE')).toEqual([task(1), task(2), task(3)])
    expect(images.readOne('INVENTORY')).toEqual(inventory)
    expect(images.readAny('TTY_INFO')).toEqual([])
    expect([images.has('PSTREE'), images.has('pstree.img'), images.has('CORE', 1)]).toEqual([true, true, false])
    expect(statSync(at('pstree.img')).mode & 0o777).toBe(0o600)
  })

  test('names files by id, ghosts in hex', () => {
    const writer = new ImageWriter(fd)
    const ghost = { uid: 0, gid: 0, mode: 0o100600 }
    writer.add('GHOST_FILE', [26], ghost, Uint8Array.of(1, 2, 3))
    writer.add('STATS', ['dump'], {})
    writer.finish()
    expect(images.list()).toEqual(['ghost-file-1a.img', 'stats-dump'])
    const [found] = images.readEntries('GHOST_FILE', 26)
    expect(found!.entry).toEqual(ghost)
    expect(images.payload('ghost-file-1a.img', found!.payload)).toEqual(Uint8Array.of(1, 2, 3))
    expect(images.payload('ghost-file-1a.img', found!.payload, 1, 1)).toEqual(Uint8Array.of(2))
  })

  test('has messages of a queue behind the queue', () => {
    const writer = new ImageWriter(fd)
    const desc = { key: 1, uid: 0, gid: 0, cuid: 0, cgid: 0, mode: 0o600, id: 0 }
    const queue: ipc_msg_entry = { desc, qbytes: 16384, qnum: 1 }
    for (const _ of [1, 2]) {
      writer.add('IPCNS_MSG', [3], queue)
      writer.addPart('IPCNS_MSG', [3], { mtype: 5n, msize: 3 }, Uint8Array.of(7, 8, 9))
    }
    writer.finish()
    const queues = images.readEntries('IPCNS_MSG', 3)
    expect(queues.map(found => found.parts.map(part => part.entry))).toEqual([
      [{ mtype: 5n, msize: 3 }],
      [{ mtype: 5n, msize: 3 }],
    ])
    expect(images.payload('ipcns-msg-3.img', queues[1]!.parts[0]!.payload)).toEqual(Uint8Array.of(7, 8, 9))
  })

  test('takes payloads from the kernel', () => {
    const writer = new ImageWriter(fd)
    const text = 'x'.repeat(700_000)
    writer.add('PIPES_DATA', [], { pipe_id: 1, bytes: text.length })
    const end = writer.openEnd('PIPES_DATA')
    writeSync(end, text)
    closeSync(end)
    writer.add('PIPES_DATA', [], { pipe_id: 2, bytes: 1 }, Uint8Array.of(1))
    writer.finish()
    const found = images.readEntries('PIPES_DATA')
    expect(found.map(({ entry }) => entry.pipe_id)).toEqual([1, 2])
    expect(new TextDecoder().decode(images.payload('pipes-data.img', found[0]!.payload))).toBe(text)
  })

  test('has a large pagemap, in pieces', () => {
    const writer = new ImageWriter(fd)
    const entries = Array.from({ length: 131_072 }, (_, i) => ({
      vaddr: 0x7f00_0000_0000n + BigInt(i) * 8192n,
      compat_nr_pages: 0,
      flags: 4,
      nr_pages: 1n,
    }))
    writer.add('PAGEMAP', [7], { pages_id: 1 })
    writer.addAll('PAGEMAP', [7], entries.slice(0, 100_000))
    writer.addAll('PAGEMAP', [7], entries.slice(100_000))
    writer.finish()
    const found: PagemapRun[] = []
    expect(images.eachRun('PAGEMAP', 7, run => void found.push({ ...run }))).toBe(1)
    expect(found).toEqual(
      entries.map(({ vaddr }) => ({ vaddr: Number(vaddr), nr_pages: 1, flags: 4, in_parent: false })),
    )
  })

  test('reads a pagemap of any form as its messages say', () => {
    const writer = new ImageWriter(fd)
    const entries: pagemap_entry[] = [
      { vaddr: 0x1000n, compat_nr_pages: 3 },
      { vaddr: 0x1000n, compat_nr_pages: 3, in_parent: true, flags: 0 },
      { vaddr: (1n << 63n) + 4096n, compat_nr_pages: 0xffff_ffff, flags: 0xffff_ffff },
      { vaddr: 0n, compat_nr_pages: 0, flags: 4, nr_pages: 1n << 60n },
      { vaddr: 0x7fff_ffff_f000n, compat_nr_pages: 1, in_parent: false, nr_pages: 0n },
      // A field that is not known: 777, a varint.
      { vaddr: 0x2000n, compat_nr_pages: 1, [unknownFields]: Uint8Array.of(0xc8, 0x30, 1) },
    ]
    writer.add('PAGEMAP', [8], { pages_id: 2 })
    writer.addAll('PAGEMAP', [8], entries)
    writer.finish()
    const found: PagemapRun[] = []
    expect(images.eachRun('PAGEMAP', 8, run => void found.push({ ...run }))).toBe(2)
    expect(found).toEqual(
      entries.map(({ vaddr, compat_nr_pages, nr_pages, flags, in_parent }) => ({
        vaddr: Number(vaddr),
        nr_pages: Number(nr_pages ?? compat_nr_pages),
        flags: flags ?? -1,
        in_parent: in_parent === true,
      })),
    )
    // A required field that is missing, a number cut short, a length past the end: told by the codec.
    const damaged = (...bytes: number[]): void => {
      const whole = readFileSync(at('pagemap-8.img'))
      writeFileSync(at('pagemap-9.img'), Buffer.concat([whole.subarray(0, 14), Buffer.from(bytes)]))
      expect(() => images.eachRun('PAGEMAP', 9, () => {})).toThrow('cannot decode pagemap_entry')
    }
    damaged(2, 0, 0, 0, 0x10, 1)
    damaged(3, 0, 0, 0, 0x08, 0x80, 0x80)
    damaged(200, 0, 0, 0, 0x08, 1, 0x10, 1)
  })

  test('gets its inventory last, and loses one of an earlier dump first', () => {
    writeFileSync(at('inventory.img'), 'old')
    const writer = new ImageWriter(fd)
    writer.add('INVENTORY', [], inventory)
    closeSync(writer.createRaw('pages-1.img'))
    expect(readdirSync(folder)).toEqual(['pages-1.img'])
    writer.finish()
    expect(images.readOne('INVENTORY')).toEqual(inventory)
  })

  test('keeps the inventory when only statistics are written', () => {
    writeFileSync(at('inventory.img'), 'old')
    const writer = new ImageWriter(fd)
    writer.add('STATS', ['restore'], {})
    writer.finish()
    expect(readFileSync(at('inventory.img'), 'utf8')).toBe('old')
  })

  test('is empty again when it is discarded', () => {
    writeFileSync(at('mine.txt'), '')
    const writer = new ImageWriter(fd)
    closeSync(writer.createRaw('pages-1.img'))
    writer.add('PIPES_DATA', [], { pipe_id: 1, bytes: 0 })
    closeSync(writer.openEnd('PIPES_DATA'))
    writer.add('PSTREE', [], task(1))
    expect(readdirSync(folder).length).toBe(3)
    writer.discard()
    expect(readdirSync(folder)).toEqual(['mine.txt'])
  })

  test('does not write through a link', () => {
    writeFileSync(at('victim'), 'precious')
    symlinkSync('victim', at('pstree.img'))
    const writer = new ImageWriter(fd)
    writer.add('PSTREE', [], task(1))
    expect(failure(() => writer.finish()).code).toBe('refused')
    expect(readFileSync(at('victim'), 'utf8')).toBe('precious')
  })
})

describe('a directory that is not what it should be', () => {
  const magics = [0x19, 0x43, 0x56, 0x54, 0x30, 0x30, 0x27, 0x50]

  test('a file is missing', () => {
    const error = failure(() => images.read('CORE', 17))
    expect([error.code, error.what, error.where]).toEqual(['bad-image', 'core-17.img is missing', 'core-17.img'])
  })

  test('a file is another one', () => {
    writeFileSync(at('core-1.img'), Uint8Array.from([...magics, 0, 0, 0, 0]))
    const error = failure(() => images.read('CORE', 1))
    expect(error.what).toBe('core-1.img does not start as such a file must')
    expect(error.why).toBe('its first words are 0x54564319 0x50273030, not 0x54564319 0x55053847')
  })

  test('a file is empty', () => {
    writeFileSync(at('pstree.img'), '')
    expect(failure(() => images.read('PSTREE')).why).toBe('its first words are missing, not 0x54564319 0x50273030')
  })

  test('an entry is longer than the file', () => {
    writeFileSync(at('pstree.img'), Uint8Array.from([...magics, 2, 0, 0, 0, 8, 1, 0xff, 0xff, 0xff, 0x7f]))
    const error = failure(() => images.read('PSTREE'))
    expect(error.what).toContain('pstree_entry')
    expect(error.where).toContain('pstree.img, entry 1, at byte 8')
  })

  test('an entry is damaged: file, entry, offset and field are told', () => {
    const good = [10, 0, 0, 0, 8, 1, 16, 0, 24, 1, 32, 1, 40, 1]
    writeFileSync(at('pstree.img'), Uint8Array.from([...magics, ...good, 4, 0, 0, 0, 8, 1, 16, 0]))
    const error = failure(() => images.read('PSTREE'))
    expect(error.what).toBe('cannot decode pstree_entry.pgid: is required and is missing')
    expect(error.where).toBe('pstree.img, entry 2, at byte 22, byte 4 of the entry')
    expect(error.hint).toBeDefined()
  })

  test('a length is cut short', () => {
    writeFileSync(at('pstree.img'), Uint8Array.from([...magics, 1, 0]))
    expect(failure(() => images.read('PSTREE')).what).toBe('the file is cut short in the length of an entry')
  })

  test('payload is cut short', () => {
    const writer = new ImageWriter(fd)
    writer.add('PIPES_DATA', [], { pipe_id: 1, bytes: 2 ** 31 })
    writer.finish()
    expect(failure(() => images.read('PIPES_DATA')).what).toBe('2147483648 bytes should follow the entry, 0 do')
  })

  test('a huge file of nothing takes no memory', () => {
    writeFileSync(at('pstree.img'), Uint8Array.from([...magics, 0xff, 0xff, 0xff, 0x7f]))
    must('truncate', at('pstree.img'), 2 ** 40)
    const before = process.memoryUsage().rss
    expect(failure(() => images.read('PSTREE')).why).toBe('an entry may have 67108864 bytes')
    expect(process.memoryUsage().rss - before).toBeLessThan(32 << 20)
  })

  test('a link leads out', () => {
    symlinkSync('/etc/hostname', at('pstree.img'))
    expect(failure(() => images.read('PSTREE')).why).toBe('it is a link that leads out of the image directory')
    expect(failure(() => images.openRaw('../etc/passwd')).code).toBe('usage')
  })

  test('a fifo stands in a file’s place', () => {
    must('mknod', at('pstree.img'), 0o010600)
    expect(failure(() => images.read('PSTREE')).what).toBe('pstree.img is not a regular file')
  })

  test('two entries where one belongs', () => {
    const writer = new ImageWriter(fd)
    writer.addAll('PSTREE', [], [task(1), task(2)])
    writer.finish()
    expect(failure(() => images.readOne('PSTREE')).what).toBe(
      'pstree.img holds more than one entry, and should hold one',
    )
  })

  test('an error of the visitor stays its own', () => {
    const writer = new ImageWriter(fd)
    writer.add('PSTREE', [], task(1))
    writer.finish()
    const visit = (): never => {
      throw new BardoError('bad-image', 'no such task')
    }
    expect(failure(() => images.each('PSTREE', [], visit)).where).toBeUndefined()
  })

  test('files may be read while another is visited', () => {
    const writer = new ImageWriter(fd)
    writer.addAll(
      'PSTREE',
      [],
      Array.from({ length: 50 }, (_, i) => task(i + 1)),
    )
    for (let pid = 1; pid <= 50; pid++) writer.add('FS', [pid], { cwd_id: pid, root_id: 1 })
    writer.finish()
    const seen: number[] = []
    images.each('PSTREE', [], ({ entry }) => void seen.push(images.readOne('FS', entry.pid).cwd_id))
    expect(seen).toEqual(Array.from({ length: 50 }, (_, i) => i + 1))
  })

  test('there is no such directory', () => {
    const error = failure(() => openImageDirectory(at('none')))
    expect([error.code, error.errno]).toEqual(['refused', 2])
  })
})
