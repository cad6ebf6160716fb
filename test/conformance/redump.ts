// The redump law: the image of a restored tree equals the image that it was restored from, but for the fields named
// here. Numbers that are chosen anew at each dump (ids of files, inode numbers of pipes) are renumbered in the order in
// which the tree meets them, so that what shares an object must share it in both images.
import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { ImageDirectory, openImageDirectory } from '../../src/image/directory.ts'
import { imageFiles, keyOf, type EntryOf, type ImageKey } from '../../src/image/files.ts'
import { syscall } from '../../src/linux/ffi.ts'
import { NR } from '../../src/linux/nr.ts'
import type { Moves } from './workload-list.ts'

const PAGE = 4096
const PE_PRESENT = 4
const [VMA_FILE_PRIVATE, VMA_FILE_SHARED, VMA_ANON_SHARED] = [1 << 6, 1 << 7, 1 << 8]

/** What differs between two images of one state, each with its reason. */
const leftOut: Readonly<Record<string, string>> = {
  'inventory.dump_uptime': 'when the dump was',
  'inventory.dump_criu_run_id': 'which dump it was',
  'core.thread_info.gpregs.orig_ax': 'the call that the thread was in: over, once its result is in ax',
  'core.tc.flags': 'PF_… of the kernel: whether the task was ever forked, randomised, signalled',
  'core.thread_info.fpregs.xsave.xstate_bv': 'the processor drops the bit of a part that is in its initial state',
  timens: 'the clocks when the dump was',
  'files.tfd.vsec': 'what is left of a time',
  'files.tfd.vnsec': 'what is left of a time',
  'files.tfd.ticks': 'expirations while time goes on',
  'files.tfd.expires_ns': 'a sum of two times that are read one after the other',
  'files.epfd.tfd.inode': 'objects without a name are made again',
  'ghost-file.ino': 'a deleted file is made again',
  'ghost-file.atim': 'saving it reads it',
  'files.usk.backlog': 'the memory that unread data takes, which depends on how it was written',
}

/** The same for workloads whose threads run, or wait in calls that keep time. */
const leftOutWhileRunning: Readonly<Record<string, string>> = {
  'core.thread_info.gpregs': 'the thread runs',
  'core.thread_info.fpregs': 'the thread runs',
  'core.thread_core.rseq_entry.rseq_cs_pointer': 'the thread may be in a critical section',
  'mm.pages': 'the thread writes its stack',
}

/** Fields that hold the number of an object, and which sort of object that is. */
const identities: Readonly<Record<string, string>> = {
  'fdinfo.id': 'file',
  'files.id': 'file',
  'files.reg.id': 'file',
  'files.pipe.id': 'file',
  'files.tty.id': 'file',
  'files.fifo.id': 'file',
  'files.usk.id': 'file',
  'files.efd.id': 'file',
  'files.tfd.id': 'file',
  'files.sgfd.id': 'file',
  'files.epfd.id': 'file',
  'files.epfd.tfd.file_id': 'file',
  'files.usk.ino': 'socket',
  'files.usk.peer': 'socket',
  'sk-queues.id_for': 'file',
  'files.tty.regf_id': 'file',
  'files.fifo.regf_id': 'file',
  'mm.exe_file_id': 'file',
  'fs.cwd_id': 'file',
  'fs.root_id': 'file',
  'files.tty.tty_info_id': 'tty',
  'tty-info.id': 'tty',
  'tty-data.tty_id': 'tty',
  'files.memfd.id': 'file',
  'files.memfd.inode_id': 'memfd',
  'memfd.inode_id': 'memfd',
  'memfd.shmid': 'shm',
  'files.pipe.pipe_id': 'pipe',
  'files.fifo.pipe_id': 'pipe',
  'pipes-data.pipe_id': 'pipe',
  'fifo-data.pipe_id': 'pipe',
  'ids.vm_id': 'vm',
  'ids.files_id': 'table',
  'ids.fs_id': 'fs',
  'ids.sighand_id': 'sighand',
  'core.ids.vm_id': 'vm',
  'core.ids.files_id': 'table',
  'core.ids.fs_id': 'fs',
  'core.ids.sighand_id': 'sighand',
  'core.thread_core.cg_set': 'cgroups',
  'core.tc.cg_set': 'cgroups',
  'inventory.root_cg_set': 'cgroups',
  'ids.time_ns_id': 'time',
  'core.ids.time_ns_id': 'time',
  'inventory.root_ids.vm_id': '',
  'inventory.root_ids.files_id': '',
  'inventory.root_ids.fs_id': '',
  'inventory.root_ids.sighand_id': '',
}

type Facts = Map<string, string>
type Vma = EntryOf<'MM'>['vmas'][number]

/** Neighbours that are alike as one: the kernel keeps them apart or joins them for reasons of its own (anon_vma). */
function joined(vmas: readonly Vma[]): Vma[] {
  const result: Vma[] = []
  for (const next of vmas) {
    const last = result.at(-1)
    const follows =
      last !== undefined &&
      last.end === next.start &&
      last.prot === next.prot &&
      last.flags === next.flags &&
      last.status === next.status &&
      last.madv === next.madv &&
      last.fdflags === next.fdflags &&
      last.shmid === next.shmid &&
      (last.pgoff === next.pgoff || last.pgoff + (last.end - last.start) === next.pgoff)
    if (follows) result[result.length - 1] = { ...last, end: next.end }
    else result.push(next)
  }
  return result
}

class Listing {
  readonly facts: Facts = new Map()
  readonly #images: ImageDirectory
  readonly #folder: string
  readonly #moving: boolean
  readonly #numbers = new Map<string, string>()
  readonly #counts = new Map<string, number>()

  constructor(folder: string, images: ImageDirectory, moves: ReadonlySet<Moves>) {
    this.#folder = folder
    this.#images = images
    this.#moving = moves.has('registers')
  }

  number(sort: string, value: number | bigint): string {
    const key = `${sort} ${value}`
    let name = this.#numbers.get(key)
    if (name === undefined) {
      const count = (this.#counts.get(sort) ?? 0) + 1
      this.#counts.set(sort, count)
      name = `${sort}#${count}`
      this.#numbers.set(key, name)
    }
    return name
  }

  /** Notes a decoded value and all below it: `at` tells it apart, `field` names its place in the schema. */
  add(at: string, field: string, value: unknown): void {
    if (field in leftOut || (this.#moving && field in leftOutWhileRunning)) return
    const sort = identities[field]
    if (sort === '') return
    if (sort !== undefined && (typeof value === 'number' || typeof value === 'bigint'))
      this.facts.set(at, this.number(sort, value))
    else if (value instanceof Uint8Array) this.facts.set(at, Buffer.from(value).toString('hex'))
    else if (Array.isArray(value))
      for (const [index, inner] of value.entries()) this.add(`${at}[${index}]`, field, inner)
    else if (typeof value === 'object' && value !== null)
      for (const [name, inner] of Object.entries(value)) this.add(`${at}.${name}`, `${field}.${name}`, inner)
    else if (value !== undefined) this.facts.set(at, Bun.inspect(value))
  }

  all(): Facts {
    // The order of brothers is nobody's state.
    const tasks: EntryOf<'PSTREE'>[] = this.#images.read('PSTREE').toSorted((a, b) => a.pid - b.pid)
    this.add('pstree', 'pstree', tasks)
    for (const { pid, threads } of tasks) this.#task(pid, threads)
    this.#sharedFiles()
    this.#socketQueues()
    this.#others()
    return this.facts
  }

  #task(pid: number, threads: readonly number[]): void {
    // A zombie has a thread 0, which is none.
    const cores = [...new Set([pid, ...threads.filter(tid => tid !== 0)])].map(tid => this.#images.readOne('CORE', tid))
    cores.forEach((core, index) => this.add(`core of ${index === 0 ? pid : threads[index]}`, 'core', core))
    if (!this.#images.has('MM', pid)) return
    const ids = this.#images.has('IDS', pid) ? this.#images.readOne('IDS', pid) : cores[0]!.ids
    this.add(`ids of ${pid}`, 'ids', ids)
    const mm = this.#images.readOne('MM', pid)
    const { vmas, ...rest } = mm
    this.add(`mm of ${pid}`, 'mm', rest)
    for (const vma of joined(vmas)) {
      const { shmid, ...fields } = vma
      const at = `mm of ${pid}, vma ${vma.start.toString(16)}`
      this.add(at, 'vma', fields)
      if (vma.status & (VMA_FILE_PRIVATE | VMA_FILE_SHARED)) this.facts.set(`${at}.file`, this.number('file', shmid))
      else if (vma.status & VMA_ANON_SHARED) this.facts.set(`${at}.shm`, this.number('shm', shmid))
    }
    this.add(`fs of ${pid}`, 'fs', this.#images.readAny('FS', pid))
    const files = this.#images.readAny('FDINFO', ids!.files_id).toSorted((a, b) => a.fd - b.fd)
    for (const file of files) this.add(`fd ${file.fd} of ${pid}`, 'fdinfo', file)
    if (this.#moving) return
    const areas = cores.flatMap(core => {
      const rseq = core.thread_core?.rseq_entry
      return rseq === undefined ? [] : [{ start: Number(rseq.rseq_abi_pointer), size: rseq.rseq_abi_size }]
    })
    const anonymous = (address: number): boolean => {
      const vma = vmas.find(one => BigInt(address) >= one.start && BigInt(address) < one.end)
      return vma !== undefined && (vma.status & VMA_FILE_PRIVATE) === 0
    }
    this.#pages('PAGEMAP', pid, `memory of ${pid}`, areas, anonymous)
  }

  /** Notes a hash of each page. A page of zeros in anonymous memory is like none. */
  #pages(
    key: 'PAGEMAP' | 'SHMEM_PAGEMAP',
    id: number,
    at: string,
    changing: readonly { start: number; size: number }[],
    anonymous: (address: number) => boolean,
  ): void {
    if (!this.#images.has(key, id)) return
    const rest: { vaddr: number; nr_pages: number; flags: number }[] = []
    const pagesId = this.#images.eachRun(key, id, run => void rest.push({ ...run }))
    const bytes = readFileSync(join(this.#folder, `pages-${pagesId}.img`))
    let offset = 0
    for (const run of rest) {
      if (run.flags >= 0 && (run.flags & PE_PRESENT) === 0) continue
      const count = run.nr_pages
      for (let index = 0; index < count; index++, offset += PAGE) {
        const address = run.vaddr + index * PAGE
        const page = bytes.subarray(offset, offset + PAGE)
        for (const { start, size } of changing)
          if (start >= address && start < address + PAGE) page.fill(0, start - address, start - address + size)
        if (anonymous(address) && page.every(byte => byte === 0)) continue
        this.facts.set(`${at}, page ${address.toString(16)}`, Bun.hash(page).toString(16))
      }
    }
  }

  /** files.img and what hangs on it: in the order of the numbers that the tasks gave. */
  #sharedFiles(): void {
    for (const [key, name] of [
      ['FILES', 'files'],
      ['TTY_INFO', 'tty-info'],
      ['TTY_DATA', 'tty-data'],
    ] as const)
      for (const entry of this.#images.readAny(key)) {
        const id = 'id' in entry ? entry.id : entry.tty_id
        this.add(`${name} ${this.number(key === 'FILES' ? 'file' : 'tty', id)}`, name, entry)
      }
    for (const [key, name] of [
      ['PIPES_DATA', 'pipes-data'],
      ['FIFO_DATA', 'fifo-data'],
    ] as const) {
      if (!this.#images.has(key)) continue
      for (const { entry, payload } of this.#images.readEntries(key)) {
        const at = `${name} ${this.number('pipe', entry.pipe_id)}`
        this.add(at, name, entry)
        this.add(`${at} bytes`, `${name}.bytes`, this.#images.payload(`${name}.img`, payload))
      }
    }
  }

  /** The queues of sockets: their packets in order, a stream in the same pieces. */
  #socketQueues(): void {
    if (!this.#images.has('SK_QUEUES')) return
    for (const [index, { entry, payload }] of this.#images.readEntries('SK_QUEUES').entries()) {
      this.add(`sk-queues ${index}`, 'sk-queues', entry)
      this.add(`sk-queues ${index} bytes`, 'sk-queues.bytes', this.#images.payload('sk-queues.img', payload))
    }
  }

  /** Every other file must be there in both, with the same entries. */
  #others(): void {
    const done: ReadonlySet<string> = new Set([
      'PSTREE',
      'CORE',
      'IDS',
      'MM',
      'FS',
      'FDINFO',
      'PAGEMAP',
      'PAGES',
      'FILES',
      'TTY_INFO',
      'TTY_DATA',
      'PIPES_DATA',
      'FIFO_DATA',
      'SK_QUEUES',
      'STATS',
    ])
    for (const name of this.#images.list()) {
      const key = keyOf(name)
      if (key === undefined || done.has(key)) continue
      if (key === 'SHMEM_PAGEMAP') {
        const id = Number(/\d+/.exec(name)![0])
        this.#pages(key, id, `shared memory ${this.number('shm', id)}`, [], () => true)
      } else if (key in imageFiles && statSync(join(this.#folder, name)).isFile()) {
        const ids = /\d+/.exec(name)?.slice(0, 1) ?? []
        const word = name.replace(/(-\d+)?\.img$/, '')
        this.add(name, word, this.#images.read(key as ImageKey, ...ids))
      }
    }
  }
}

function listing(folder: string, moves: ReadonlySet<Moves>): Facts {
  const fd = openImageDirectory(folder)
  try {
    using images = new ImageDirectory(fd)
    return new Listing(folder, images, moves).all()
  } finally {
    syscall(NR.close, fd)
  }
}

/** What is not equal in two image folders, a line each; none when the law holds. */
export function differences(first: string, second: string, moves: ReadonlySet<Moves>): string[] {
  const [a, b] = [listing(first, moves), listing(second, moves)]
  const found: string[] = []
  for (const at of new Set([...a.keys(), ...b.keys()])) {
    const [before, after] = [a.get(at), b.get(at)]
    if (before !== after) found.push(`${at}: ${before ?? 'nothing'} became ${after ?? 'nothing'}`)
  }
  return found
}
