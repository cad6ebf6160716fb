// The memory of the tasks as steps: what a child has by birth is kept, what differs is unmapped, mapped and filled.
// It is long: what is kept decides what is unmapped, mapped and filled, and the vdso takes part in each.
import { BardoError, type Report } from '../base/errors.ts'
import { perRun } from '../base/run.ts'
import type { mm_entry, vma_entry } from '../image/messages/mm.ts'
import {
  MADV_DONTNEED,
  MAP_ANONYMOUS,
  MAP_FIXED_NOREPLACE,
  MAP_GROWSDOWN,
  MAP_LOCKED,
  MAP_NORESERVE,
  MAP_PRIVATE,
  MAP_SHARED,
  MREMAP_FIXED,
  MREMAP_MAYMOVE,
  O_ACCMODE,
  O_RDONLY,
  O_RDWR,
  PAGE_SIZE,
  PROT_WRITE,
  PR_SET_MM,
  PR_SET_MM_MAP,
  PR_SET_THP_DISABLE,
} from '../linux/constants.ts'
import { MAP_DROPPABLE, STATUS, adviceOf, hasOwnPages } from '../kinds/mem/mappings.ts'
import { VDSO_BYTES_MAX, parseVdso, patchesOf, sameEntries } from '../kinds/mem/vdso.ts'
import type { Memory, Places, Run, Slot } from '../program/program.ts'
import { ownSpecial, type ParkedPart } from '../program/spawn.ts'
import { bytesAt } from '../linux/ffi.ts'
import type { RestoreBuild, TaskSayer } from './build.ts'
import { toRun, whereOf, type PageRun, type Task } from './load.ts'
import { PagesFiles } from './pages.ts'

/** A mapping as it is while the tree is made. */
type Mapped = { readonly vma: vma_entry; prot: number }

/** How a task gets its vdso: ours moved to where its own was, or its old one, with jumps to ours. */
type Vdso = 'moved' | 'jumps'

const isSpecial = (vma: vma_entry, vdso: Vdso): boolean =>
  (vma.status & (STATUS.VVAR | STATUS.VSYSCALL)) !== 0 || (vdso === 'moved' && (vma.status & STATUS.VDSO) !== 0)
const sizeOf = (vma: vma_entry): number => Number(vma.end - vma.start)
const KEPT_FLAGS = MAP_PRIVATE | MAP_SHARED | MAP_ANONYMOUS | MAP_GROWSDOWN | MAP_NORESERVE | MAP_DROPPABLE

/** Whether a child has this mapping from its parent: the same place, the same object. */
function isInherited(mine: vma_entry, theirs: vma_entry): boolean {
  return (
    mine.start === theirs.start &&
    mine.end === theirs.end &&
    mine.shmid === theirs.shmid &&
    mine.pgoff === theirs.pgoff &&
    (mine.status & ~STATUS.HEAP) === (theirs.status & ~STATUS.HEAP) &&
    (mine.flags & KEPT_FLAGS) === (theirs.flags & KEPT_FLAGS) &&
    mine.fdflags === theirs.fdflags
  )
}

const SHARED = STATUS.FILE_SHARED | STATUS.ANON_SHARED

export class MemoryPlan {
  readonly #at: RestoreBuild
  readonly #places: Places
  readonly #parked: readonly ParkedPart[]
  readonly #report: Report
  readonly #pages: PagesFiles
  /** Whose copy a task is when it is born: mostly its parent's. */
  readonly #motherOf: (task: Task) => Task | undefined
  readonly #layouts = new Map<Task, Mapped[]>()
  readonly #vdsos = new Map<Task, Vdso>()
  readonly #sizes: Map<string, number>

  constructor(
    at: RestoreBuild,
    places: Places,
    parked: readonly ParkedPart[],
    tasks: readonly Task[],
    report: Report,
    motherOf: (task: Task) => Task | undefined,
  ) {
    this.#at = at
    this.#motherOf = motherOf
    this.#places = places
    this.#parked = parked
    this.#report = report
    this.#pages = new PagesFiles(at.images)
    this.#sizes = new Map()
    for (const task of tasks)
      for (const vma of task.vmas) {
        if ((vma.status & STATUS.ANON_SHARED) === 0) continue
        const key = String(vma.shmid)
        this.#sizes.set(key, Math.max(this.#sizes.get(key) ?? 0, Number(vma.pgoff) + sizeOf(vma)))
      }
  }

  /** The pages files that are open meanwhile are closed. */
  [Symbol.dispose](): void {
    this.#pages[Symbol.dispose]()
  }

  /** Makes the memory of `task` out of what it is born with: its parent's, or the parked vdso alone. */
  make(task: Task): void {
    const purpose = { what: `memory of ${whereOf(task)}`, phase: 'tasks' } as const
    const say = this.#at.task(task.pid, purpose)
    const mother = this.#motherOf(task)
    const inherited = mother === undefined ? [] : (this.#layouts.get(mother) ?? [])
    const { park } = this.#places
    const vdso = this.#chooseVdso(task)
    this.#vdsos.set(task, vdso)
    const born = mother === undefined ? vdso : this.#vdsos.get(mother)!

    const kept = new Map<vma_entry, Mapped>()
    const byStart = new Map(inherited.map(mapped => [mapped.vma.start, mapped]))
    for (const vma of task.vmas) {
      const theirs = byStart.get(vma.start)
      if (theirs === undefined || isSpecial(vma, vdso) || isSpecial(theirs.vma, born)) continue
      if (isInherited(vma, theirs.vma)) kept.set(vma, theirs)
    }

    const moves = this.#planVdso(task, inherited)
    for (const { from, size, offset } of moves.toPark)
      say.call('mremap', from, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, park + offset)
    this.#unmapOthers(say, inherited, [...kept.keys()], moves.stay)
    for (const { to, size, offset } of moves.fromPark)
      say.call('mremap', park + offset, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, to)
    for (const { offset, size } of moves.gone) say.call('munmap', park + offset, size)

    const fill = new Set(this.#mappingsWithPages(task))
    const layout: Mapped[] = []
    const files: { vma: vma_entry; file: Slot<'fd'> }[] = []
    for (const vma of task.vmas) {
      const mine = kept.get(vma)
      if (mine !== undefined) layout.push({ vma, prot: mine.prot })
      else if (isSpecial(vma, vdso)) layout.push({ vma, prot: vma.prot })
      else {
        layout.push({ vma, prot: fill.has(vma) ? vma.prot | PROT_WRITE : vma.prot })
        const file = this.#report.collect(() => this.#backing(vma, task))
        if (file !== undefined) files.push({ vma, file })
      }
    }
    this.#layouts.set(task, layout)
    const exe =
      mother?.mm.exe_file_id === task.mm.exe_file_id ? undefined : this.#at.mapped(task.mm.exe_file_id, O_RDONLY)
    // All at once: each time that files are lent costs a stop.
    const distinct = [
      ...new Map([...files.map(({ file }) => file), ...(exe ? [exe] : [])].map(file => [file.id, file])).values(),
    ]
    const lent = this.#at.program.lend(purpose, task.pid, distinct)
    const lentOf = new Map(distinct.map((file, index) => [file.id, lent[index]!]))
    // The program's file can be exchanged only while nothing of the old one is mapped (prctl(2), PR_SET_MM_EXE_FILE).
    this.#fields(task, say, exe && lentOf.get(exe.id))
    this.#map(task, say, layout, kept, new Map(files.map(({ vma, file }) => [vma, lentOf.get(file.id)!])))
    for (const file of lent) say.call('close', file)
    this.#fill(task, layout, kept)
  }

  /** Where the parts of vvar and vdso are and go; through the parking place, so that none lands on another. */
  #planVdso(task: Task, inherited: readonly Mapped[]) {
    const plan = {
      toPark: [] as { from: number; size: number; offset: number }[],
      fromPark: [] as { to: number; size: number; offset: number }[],
      gone: [] as { size: number; offset: number }[],
      stay: [] as { start: number; end: number }[],
    }
    const find = (list: readonly vma_entry[], bit: number): vma_entry | undefined =>
      list.find(vma => (vma.status & bit) !== 0)
    const theirs = inherited.map(({ vma }) => vma)
    const vdso = this.#vdsos.get(task)
    for (const [bit, parts] of this.#partsByKind()) {
      const wanted = find(task.vmas, bit)
      const mother = this.#motherOf(task)
      const has = mother === undefined ? undefined : find(theirs, bit)
      // Ours stays where it was parked when jumps lead to it, or goes back there from where the parent has it.
      if (vdso === 'jumps') {
        const { park } = this.#places
        const moved = mother !== undefined && this.#vdsos.get(mother) === 'moved'
        let inner = 0
        for (const { size, offset } of parts) {
          if (moved && has !== undefined) plan.toPark.push({ from: Number(has.start) + inner, size, offset })
          plan.stay.push({ start: park + offset, end: park + offset + size })
          inner += size
        }
        continue
      }
      if (mother !== undefined && has === undefined) {
        if (wanted !== undefined)
          this.#report.add(
            new BardoError('unsupported', 'a task has a vdso and its parent has none', { where: whereOf(task) }),
          )
        continue
      }
      if (wanted !== undefined && has !== undefined && wanted.start === has.start) {
        plan.stay.push({ start: Number(wanted.start), end: Number(wanted.end) })
        continue
      }
      let inner = 0
      for (const { size, offset } of parts) {
        if (has !== undefined) plan.toPark.push({ from: Number(has.start) + inner, size, offset })
        if (wanted !== undefined) plan.fromPark.push({ to: Number(wanted.start) + inner, size, offset })
        else plan.gone.push({ size, offset })
        inner += size
      }
    }
    return plan
  }

  #partsByKind(): [number, ParkedPart[]][] {
    return [
      [STATUS.VVAR, this.#parked.filter(part => part.path !== '[vdso]')],
      [STATUS.VDSO, this.#parked.filter(part => part.path === '[vdso]')],
    ]
  }

  /** Unmaps what was inherited and is not kept, in as few calls as there are gaps between what stays. */
  #unmapOthers(
    say: ReturnType<RestoreBuild['task']>,
    inherited: readonly Mapped[],
    kept: readonly vma_entry[],
    stay: readonly { start: number; end: number }[],
  ): void {
    const mapped = inherited.filter(({ vma }) => (vma.status & STATUS.VSYSCALL) === 0)
    if (mapped.length === 0) return
    const { scratch, scratchSize, park } = this.#places
    const parkEnd = park + this.#parked.reduce((sum, part) => sum + part.size, PAGE_SIZE)
    const walls = [
      ...kept.map(vma => ({ start: Number(vma.start), end: Number(vma.end) })),
      ...stay,
      { start: scratch, end: scratch + scratchSize },
      { start: park, end: parkEnd },
    ].toSorted((a, b) => a.start - b.start)
    let wall = 0
    let from = -1
    let to = 0
    const flush = (): void => {
      if (from >= 0) say.call('munmap', from, to - from)
      from = -1
    }
    for (const { vma } of mapped) {
      const [start, end] = [Number(vma.start), Number(vma.end)]
      while (wall < walls.length && walls[wall]!.end <= start) {
        wall++
        flush()
      }
      const here = walls[wall]
      if (here !== undefined && here.start < end) {
        flush()
        continue
      }
      if (from < 0) from = start
      to = end
    }
    flush()
  }

  *#mappingsWithPages(task: Task): Generator<vma_entry> {
    const { runs } = task.pages
    let next = 0
    for (const vma of task.vmas) {
      while (next < runs.length && runs[next]!.end <= Number(vma.start)) next++
      if (next < runs.length && runs[next]!.start < Number(vma.end)) yield vma
    }
  }

  /** The file behind a mapping, as an open file of ours; undefined for anonymous memory. */
  #backing(vma: vma_entry, task: Task): Slot<'fd'> | undefined {
    const where = `${whereOf(task)}, mapping ${vma.start.toString(16)}-${vma.end.toString(16)}`
    if ((vma.status & (STATUS.SYSVIPC | STATUS.SOCKET | STATUS.AIORING | STATUS.SHSTK | STATUS.UPROBES)) !== 0)
      throw new BardoError('unsupported', 'memory of this kind is not supported yet', {
        where,
        why: 'it is System V shared memory, a packet socket, an aio ring, a shadow stack or has uprobes',
      })
    if ((vma.status & STATUS.ANON_SHARED) !== 0)
      return this.#sharedMemory(vma.shmid, this.#sizes.get(String(vma.shmid)) ?? 0)
    if ((vma.status & (STATUS.FILE_PRIVATE | STATUS.FILE_SHARED)) === 0) return undefined
    const flags =
      (vma.fdflags ?? ((vma.status & STATUS.FILE_SHARED) !== 0 && (vma.prot & PROT_WRITE) !== 0 ? O_RDWR : O_RDONLY)) &
      O_ACCMODE
    return this.#at.mapped(Number(vma.shmid), (vma.status & STATUS.FILE_PRIVATE) !== 0 ? O_RDONLY : flags)
  }

  #sharedMemory(shmid: bigint, bytes: number): Slot<'fd'> {
    const make = (): Slot<'fd'> => {
      const at = this.#at.as({ what: `shared memory ${shmid}`, phase: 'files' })
      const file = at.sharedMemory(bytes)
      at.fillMemory(file, shmid, bytes)
      return file
    }
    return this.#at.get({ name: 'shared memory', make }, String(shmid))
  }

  #map(
    task: Task,
    say: TaskSayer,
    layout: readonly Mapped[],
    kept: ReadonlyMap<vma_entry, Mapped>,
    files: ReadonlyMap<vma_entry, Slot<'fd'>>,
  ): void {
    for (const { vma, prot } of layout) {
      if (kept.has(vma) || isSpecial(vma, this.#vdsos.get(task)!)) continue
      const file = files.get(vma)
      const type =
        (vma.status & SHARED) !== 0 ? MAP_SHARED : (vma.flags & MAP_DROPPABLE) !== 0 ? MAP_DROPPABLE : MAP_PRIVATE
      const flags =
        type |
        MAP_FIXED_NOREPLACE |
        (vma.flags & (MAP_GROWSDOWN | MAP_NORESERVE)) |
        (file === undefined ? MAP_ANONYMOUS : 0)
      say.call('mmap', vma.start, sizeOf(vma), prot, flags, file ?? -1, file === undefined ? 0 : vma.pgoff)
    }
  }

  /** Says what of the task's pages is written: all in new mappings, what differs from the parent's in kept ones. */
  #fill(task: Task, layout: readonly Mapped[], kept: ReadonlyMap<vma_entry, Mapped>): void {
    const purpose = { what: `pages of ${whereOf(task)}`, phase: 'tasks' } as const
    const say = this.#at.task(task.pid, purpose)
    const runs: Run[] = []
    const mine = new Cursor(task.pages.runs)
    const theirs = new Cursor(this.#motherOf(task)?.pages.runs ?? [])
    for (const mapped of layout) {
      const { vma } = mapped
      const [start, end] = [Number(vma.start), Number(vma.end)]
      const wanted = mine.within(start, end)
      if (isSpecial(vma, this.#vdsos.get(task)!)) continue
      if ((vma.status & SHARED) !== 0) continue
      if (!kept.has(vma)) {
        for (const run of wanted) runs.push(toRun(run))
        continue
      }
      const parent = hasOwnPages(vma) ? theirs.within(start, end) : []
      const { write, drop } = this.#pages.differences(
        task.pages.pagesId,
        wanted,
        this.#motherOf(task)!.pages.pagesId,
        parent,
      )
      if (write.length > 0 && (mapped.prot & PROT_WRITE) === 0) {
        mapped.prot |= PROT_WRITE
        say.call('mprotect', start, end - start, mapped.prot)
      }
      for (const run of write) runs.push(toRun(run))
      for (const range of drop) say.call('madvise', range.start, range.end - range.start, MADV_DONTNEED)
    }
    if (runs.length > 0) this.#at.program.fillMemory(purpose, task.pid, this.#at.pages(task.pages.pagesId), runs)
  }

  /** Whether the image's vdso is like ours to those who call it. */
  #chooseVdso(task: Task): Vdso {
    const find = (bit: number): vma_entry | undefined => task.vmas.find(vma => (vma.status & bit) !== 0)
    const [old, vvar] = [find(STATUS.VDSO), find(STATUS.VVAR)]
    const mother = this.#motherOf(task)
    const bornWithJumps = mother !== undefined && this.#vdsos.get(mother) === 'jumps'
    const bytes = old && this.#oldVdso(task, old)
    if (old === undefined || bytes === undefined) return bornWithJumps && old !== undefined ? 'jumps' : 'moved'
    const sizes = this.#partsByKind().map(([, parts]) => parts.reduce((sum, part) => sum + part.size, 0))
    const own = ownVdso()
    const dataFits = vvar === undefined || sizeOf(vvar) === sizes[0]
    if (!bornWithJumps && dataFits && Buffer.compare(bytes, own) === 0) return 'moved'
    // In the middle of a function: ours has another there, and the old one would look for the data of its own kernel.
    const inside = task.cores.some(({ thread_info }) => {
      const ip = thread_info?.gpregs.ip ?? 0n
      return ip >= old.start && ip < old.end
    })
    if (inside)
      this.#report.add(
        new BardoError('unsupported', 'a thread was dumped while it was in the vdso of another kernel', {
          where: whereOf(task),
          why: 'it read the clock at that moment, and cannot go on in the middle of that here',
          hint: 'restore it on a machine with the same kernel, or dump it again',
        }),
      )
    const fits = dataFits && sizeOf(old) === sizes[1]
    return !bornWithJumps && fits && sameEntries(parseVdso(bytes), parseVdso(own)) ? 'moved' : 'jumps'
  }

  /** Where a task has the vdso of this kernel; undefined where it has none. */
  vdsoAt(task: Task): number | undefined {
    const old = task.vmas.find(vma => (vma.status & STATUS.VDSO) !== 0)
    if (this.#vdsos.get(task) === 'moved') return old === undefined ? undefined : Number(old.start)
    const part = this.#parked.find(({ path }) => path === '[vdso]')
    return part === undefined ? undefined : this.#places.park + part.offset
  }

  /** The bytes of the image's vdso; undefined where the image has not all of them. */
  #oldVdso(task: Task, old: vma_entry): Uint8Array | undefined {
    if (sizeOf(old) > VDSO_BYTES_MAX)
      throw new BardoError('bad-image', `a vdso of ${sizeOf(old)} bytes is none`, { where: whereOf(task) })
    const pieces = new Cursor(task.pages.runs).within(Number(old.start), Number(old.end))
    const bytes = Buffer.concat(
      pieces.map(run => this.#pages.bytes(task.pages.pagesId, run.offset, run.end - run.start)),
    )
    return bytes.length === sizeOf(old) ? bytes : undefined
  }

  /** Leads the functions of an old vdso to ours, which stays in the parking place. */
  #jump(task: Task): void {
    if (this.#vdsos.get(task) !== 'jumps') return
    const old = task.vmas.find(vma => (vma.status & STATUS.VDSO) !== 0)
    const bytes = old && this.#oldVdso(task, old)
    const part = this.#parked.find(({ path }) => path === '[vdso]')
    if (old === undefined || bytes === undefined || part === undefined) return
    const purpose = { what: `vdso of ${whereOf(task)}`, phase: 'memory' } as const
    const ours = this.#places.park + part.offset
    for (const { at, code } of patchesOf(parseVdso(bytes), parseVdso(ownVdso()), ours, bytes.length))
      this.#at.program.host(purpose, { name: 'poke', task: task.pid, address: Number(old.start) + at, bytes: code })
  }

  /** Protection, advice and locks: when nothing is written any more and every child has been cloned. */
  finish(task: Task): void {
    const purpose = { what: `memory of ${whereOf(task)}`, phase: 'memory' } as const
    const say = this.#at.task(task.pid, purpose)
    for (const { vma, prot } of this.#layouts.get(task) ?? []) {
      if (isSpecial(vma, this.#vdsos.get(task)!)) continue
      const [start, size] = [vma.start, sizeOf(vma)]
      if (prot !== vma.prot) say.call('mprotect', start, size, vma.prot)
      for (const advice of adviceOf(vma)) say.call('madvise', start, size, advice)
      if ((vma.flags & MAP_LOCKED) !== 0) say.call('mlock', start, size)
    }
    this.#jump(task)
    if (task.mm.thp_disabled === true) say.call('prctl', PR_SET_THP_DISABLE, 1, 0, 0, 0)
  }

  /** The fields of the address space and the program's file: before the task has children, who inherit them. */
  #fields(task: Task, say: TaskSayer, exe: Slot<'fd'> | undefined): void {
    const { mm } = task
    const mother = this.#motherOf(task)
    if (mother !== undefined && sameFields(mm, mother.mm)) return
    const auxv = say.memory(new Uint8Array(BigUint64Array.from(mm.mm_saved_auxv).buffer))
    say.call('prctl', PR_SET_MM, PR_SET_MM_MAP, this.#mmMap(task, auxv, exe), MM_MAP_SIZE, 0)
  }

  /** struct prctl_mm_map (linux/prctl.h): eleven addresses, auxv and its size, the program's descriptor. */
  #mmMap(task: Task, auxv: Memory, exe: Slot<'fd'> | undefined): Memory {
    const { mm } = task
    const bytes = new Uint8Array(MM_MAP_SIZE)
    const words = new BigUint64Array(bytes.buffer)
    words.set([
      mm.mm_start_code,
      mm.mm_end_code,
      mm.mm_start_data,
      mm.mm_end_data,
      mm.mm_start_brk,
      mm.mm_brk,
      mm.mm_start_stack,
      mm.mm_arg_start,
      mm.mm_arg_end,
      mm.mm_env_start,
      mm.mm_env_end,
    ])
    new DataView(bytes.buffer).setUint32(96, auxv.bytes.length, true)
    if (exe === undefined) new DataView(bytes.buffer).setInt32(100, -1, true)
    const holds = exe === undefined ? [] : [{ offset: 100, slot: exe }]
    return this.#at.program.memory(task.pid, bytes, holds, [{ offset: 88, memory: auxv }])
  }
}

const MM_MAP_SIZE = 104

const FIELDS = [
  'mm_start_code',
  'mm_end_code',
  'mm_start_data',
  'mm_end_data',
  'mm_start_brk',
  'mm_brk',
  'mm_start_stack',
  'mm_arg_start',
  'mm_arg_end',
  'mm_env_start',
  'mm_env_end',
  'exe_file_id',
] as const

const sameFields = (a: mm_entry, b: mm_entry): boolean =>
  FIELDS.every(name => a[name] === b[name]) &&
  a.mm_saved_auxv.length === b.mm_saved_auxv.length &&
  a.mm_saved_auxv.every((word, index) => word === b.mm_saved_auxv[index])

/** Our own vdso, which the kernel maps into every process alike; empty on a machine without one. */
const ownVdso = perRun(() => {
  const vdso = ownSpecial().find(map => map.path === '[vdso]')
  return vdso === undefined ? new Uint8Array() : bytesAt(vdso.start, vdso.end - vdso.start).slice()
})

/** Walks sorted runs once, in the order of the mappings. */
class Cursor {
  readonly #runs: readonly PageRun[]
  #next = 0

  constructor(runs: readonly PageRun[]) {
    this.#runs = runs
  }

  /** The parts of the runs that lie in [start, end), which never goes back. */
  within(start: number, end: number): PageRun[] {
    const runs = this.#runs
    while (this.#next < runs.length && runs[this.#next]!.end <= start) this.#next++
    const found: PageRun[] = []
    for (let index = this.#next; index < runs.length && runs[index]!.start < end; index++) {
      const run = runs[index]!
      const from = Math.max(run.start, start)
      found.push({ start: from, end: Math.min(run.end, end), offset: run.offset + from - run.start })
    }
    return found
  }
}
