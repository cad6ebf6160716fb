// The tasks of an image: read, bounded and checked against each other, as plain state.
import { BardoError, type Report } from '../base/errors.ts'
import type { ImageDirectory } from '../image/directory.ts'
import type { core_entry, task_kobj_ids_entry } from '../image/messages/core.ts'
import type { mm_entry, vma_entry } from '../image/messages/mm.ts'
import type { pstree_entry } from '../image/messages/pstree.ts'
import type { seccomp_filter } from '../image/messages/seccomp.ts'
import { PAGE_SIZE } from '../linux/constants.ts'
import { TASK_SIZE } from '../linux/arch/x86-64.ts'
import type { Run } from '../program/program.ts'
import { PE } from '../kinds/mem/pages.ts'
import { STATUS } from '../kinds/mem/mappings.ts'

/** The highest pid that a kernel can give (PID_MAX_LIMIT). */
const PID_MAX = 4 << 20

export const TASK_DEAD = 2
export const TASK_STOPPED = 3

/** Pages of a mapping run, in bytes. */
export type PageRun = { readonly start: number; readonly end: number; readonly offset: number }

/** A run of an image's pages as a step has it. */
export const toRun = (run: PageRun): Run => ({ address: run.start, length: run.end - run.start, offset: run.offset })

export type Pages = { readonly pagesId: number; readonly runs: readonly PageRun[]; readonly total: number }

/** One process of the image. */
export type Task = {
  readonly pid: number
  readonly parent: Task | undefined
  readonly children: Task[]
  readonly pgid: number
  readonly sid: number
  /** Ids of the threads, the leader's first, and their cores. */
  readonly threads: readonly number[]
  readonly cores: readonly core_entry[]
  readonly comm: string
  readonly zombie: boolean
  /** Absent for zombies. */
  readonly ids: task_kobj_ids_entry
  readonly mm: mm_entry
  readonly vmas: readonly vma_entry[]
  readonly pages: Pages
  readonly fs: { cwd_id: number; root_id: number; umask: number }
}

export type Image = {
  readonly root: Task
  /** Parents before children. */
  readonly tasks: readonly Task[]
  readonly filters: readonly seccomp_filter[]
}

export const whereOf = (task: { pid: number; comm: string }): string => `pid ${task.pid} ${JSON.stringify(task.comm)}`

const bad = (what: string, where?: string): BardoError => new BardoError('bad-image', what, { where })

function checkedPid(value: number, what: string): number {
  if (!Number.isInteger(value) || value < 1 || value >= PID_MAX) throw bad(`${what} ${value} is no process id`)
  return value
}

/** Reads runs of a pagemap: rising, whole pages, in user memory; the bytes of all lie one after another in the pages file. */
export function readPagemap(
  images: ImageDirectory,
  key: 'PAGEMAP' | 'SHMEM_PAGEMAP',
  id: number,
  where: string,
  limit = TASK_SIZE,
): Pages {
  const runs: PageRun[] = []
  let offset = 0
  let last = -1
  const pagesId = images.eachRun(key, id, ({ vaddr: start, nr_pages, flags, in_parent }) => {
    const end = start + nr_pages * PAGE_SIZE
    if (start % PAGE_SIZE !== 0 || end > limit || start < last)
      throw bad('a pagemap has pages out of order or of bounds', where)
    last = end
    const is = flags < 0 ? PE.PRESENT : flags
    if (in_parent || (is & PE.PARENT) !== 0)
      throw new BardoError('unsupported', 'pages in a parent image (incremental dumps) are not supported yet', {
        where,
        hint: 'make a full dump',
      })
    // Entries that are only lazy have no bytes here.
    if ((is & PE.PRESENT) === 0) return
    if (nr_pages > 0) runs.push({ start, end, offset })
    offset += end - start
  })
  return { pagesId, runs, total: offset }
}

function checkMappings(vmas: readonly vma_entry[], where: string): void {
  let last = 0
  for (const vma of vmas) {
    const [start, end] = [Number(vma.start), Number(vma.end)]
    if (start >= end || start % PAGE_SIZE !== 0 || end % PAGE_SIZE !== 0 || start < last)
      throw bad('its mappings overlap or are not of whole pages', where)
    if (end > TASK_SIZE && (vma.status & STATUS.VSYSCALL) === 0) throw bad('a mapping is outside of user memory', where)
    last = end
  }
}

const NO_MM = { vmas: [], mm_saved_auxv: [], aios: [] } as unknown as mm_entry

function readTask(images: ImageDirectory, entry: pstree_entry, parent: Task | undefined, report: Report): Task {
  const pid = checkedPid(entry.pid, "a task's id")
  const leader = images.readOne('CORE', pid)
  const { tc } = leader
  if (tc === undefined) throw bad(`core-${pid}.img has no state of a task`)
  const zombie = tc.task_state === TASK_DEAD
  const where = whereOf({ pid, comm: tc.comm })
  const threads = zombie ? [pid] : entry.threads.map(tid => checkedPid(tid, "a thread's id"))
  if (threads[0] !== pid) throw bad('the first thread of a task is not its leader', where)
  // Before their cores are read, which are a hundred times as large as an id.
  if (new Set(threads).size !== threads.length) throw bad('a task has a thread twice', where)
  const base = { pid, parent, children: [], pgid: entry.pgid, sid: entry.sid, threads, comm: tc.comm, zombie }
  const none = { pagesId: 0, runs: [], total: 0 }
  if (zombie)
    return {
      ...base,
      cores: [leader],
      ids: { vm_id: 0, files_id: 0, fs_id: 0, sighand_id: 0 },
      mm: NO_MM,
      vmas: [],
      pages: none,
      fs: { cwd_id: 0, root_id: 0, umask: 0 },
    }
  const cores = threads.map(tid => (tid === pid ? leader : images.readOne('CORE', tid)))
  for (const core of cores)
    if (core.mtype !== 1 || core.thread_info === undefined || core.thread_core === undefined)
      report.add(new BardoError('unsupported', 'the image is of another processor than x86-64', { where }))
  const ids = leader.ids ?? images.readOne('IDS', pid)
  const mm = images.readOne('MM', pid)
  checkMappings(mm.vmas, where)
  const fs = images.readOne('FS', pid)
  return {
    ...base,
    cores,
    ids,
    mm,
    vmas: mm.vmas,
    pages: readPagemap(images, 'PAGEMAP', pid, where),
    fs: { cwd_id: fs.cwd_id, root_id: fs.root_id, umask: fs.umask ?? 0o022 },
  }
}

/** Reads the whole tree. Throws `bad-image`; what is merely not supported goes to the report. */
export function loadImage(images: ImageDirectory, report: Report): Image {
  const inventory = images.readOne('INVENTORY')
  if (inventory.img_version !== 1 && inventory.img_version !== 2)
    throw bad(`images of version ${inventory.img_version} are not known`)
  const byPid = new Map<number, Task>()
  const tasks: Task[] = []
  for (const entry of images.read('PSTREE')) {
    const parent = byPid.get(entry.ppid)
    if (tasks.length > 0 && parent === undefined)
      throw bad(`pstree.img has task ${entry.pid} before its parent ${entry.ppid}`)
    const task = readTask(images, entry, tasks.length === 0 ? undefined : parent, report)
    for (const tid of new Set([task.pid, ...task.threads]))
      if (byPid.has(tid)) throw bad(`id ${tid} is that of two tasks`)
    for (const tid of task.threads) byPid.set(tid, task)
    byPid.set(task.pid, task)
    parent?.children.push(task)
    tasks.push(task)
    checkNamespaces(task, inventory.root_ids, report)
  }
  const root = tasks[0]
  if (root === undefined) throw bad('pstree.img has no task')
  if (root.zombie) throw bad('the root of the tree is a zombie')
  const filters = images.has('SECCOMP') ? images.read('SECCOMP').flatMap(entry => entry.seccomp_filters) : []
  return { root, tasks, filters }
}

const NAMESPACES = ['pid', 'net', 'ipc', 'uts', 'mnt', 'user', 'cgroup', 'time'] as const

/** Tasks must be in the namespaces that the dumper was in, since ours stand for those. */
function checkNamespaces(task: Task, own: task_kobj_ids_entry | undefined, report: Report): void {
  if (task.zombie) return
  for (const name of NAMESPACES) {
    const field = `${name}_ns_id` as const
    const [theirs, ours] = [task.ids[field], own?.[field]]
    if (theirs !== undefined && ours !== undefined && theirs !== ours)
      report.add(
        new BardoError('unsupported', `restoring a task in its own ${name} namespace is not supported yet`, {
          where: whereOf(task),
          hint: 'dump it from inside its namespaces (nsenter), and restore it inside such ones',
        }),
      )
  }
}
