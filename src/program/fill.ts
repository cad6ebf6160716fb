// Memory of the tasks, filled from files of pages; and files from files. The kernel moves the bytes.
import { BardoError } from '../base/errors.ts'
import { interrupted } from '../base/interrupt.ts'
import { progress } from '../base/progress.ts'
import { once } from '../base/run.ts'
import {
  MAP_ANONYMOUS,
  MAP_NORESERVE,
  MAP_SHARED,
  O_CLOEXEC,
  O_RDWR,
  PAGE_SIZE,
  PROT_READ,
  PROT_WRITE,
  SEEK_SET,
} from '../linux/constants.ts'
import { Arena, syscall } from '../linux/ffi.ts'
import { NR } from '../linux/nr.ts'
import { must, refusal, sys } from '../linux/sys.ts'
import { copyTo } from '../tracee/memory.ts'
import type { Remote } from '../tracee/remote.ts'
import type { Thread } from '../tracee/stopped.ts'
import type { PassSocket } from './pass.ts'
import type { Run } from './program.ts'

type Filled = { readonly thread: Thread; readonly remote: Remote; readonly pid: number }

/** Below this much, copying through our buffer costs less than lending the process the file. */
const THROUGH_US_MAX = 1 << 20
const IOV_MAX = 1024
/** The kernel moves at most this much in one call (MAX_RW_COUNT). */
const MAX_CALL_BYTES = 0x7ffff000

const tooShort = (errno?: number): BardoError =>
  new BardoError(errno === undefined ? 'bad-image' : 'refused', 'a file of pages is shorter than its pagemap says', {
    errno,
    hint: 'the dump or its copy is not complete',
  })

/** Fills the runs of a task's memory from our open file of pages. */
export function fillMemory(task: Filled, file: number, runs: readonly Run[], socket: PassSocket): void {
  const total = runs.reduce((sum, run) => sum + run.length, 0)
  if (total <= THROUGH_US_MAX) throughUs(task, file, runs, total)
  else byItself(task, file, runs, total, socket)
}

const buffer = once(() => new Arena(THROUGH_US_MAX))

function throughUs(task: Filled, file: number, runs: readonly Run[], total: number): void {
  const our = buffer().address
  const first = runs[0]!.offset
  const last = runs.at(-1)!
  const span = last.offset + last.length - first
  // Runs of one process lie together in the file: one read brings them all.
  const together = span === total
  if (together) readExactly(file, our, span, first)
  for (const { address, length, offset } of runs) {
    const at = our + (together ? offset - first : 0)
    if (!together) readExactly(file, at, length, offset)
    copyTo(task.pid, address, length, at)
  }
}

/** The task reads its pages itself, as many calls a stop as a table has room for. */
function byItself(task: Filled, file: number, runs: readonly Run[], total: number, socket: PassSocket): void {
  const [fd] = socket.lend(task, [file]) as [number]
  let done = 0
  let next = 0
  let skip = 0
  while (next < runs.length) {
    if (interrupted() !== 0) throw new BardoError('refused', 'interrupted', { hint: 'nothing was left behind' })
    using table = task.remote.table(task.thread, task.remote.start, task.remote.end)
    const planned: number[] = []
    while (next < runs.length && table.free > IOV_MAX * 16 + 256) {
      const offset = runs[next]!.offset + skip
      const words: number[] = []
      let bytes = 0
      while (next < runs.length && words.length < 2 * IOV_MAX && bytes < MAX_CALL_BYTES) {
        const run = runs[next]!
        if (run.offset + skip !== offset + bytes) break
        const part = Math.min(run.length - skip, MAX_CALL_BYTES - bytes)
        words.push(run.address + skip, part)
        bytes += part
        skip += part
        if (skip === run.length) {
          next++
          skip = 0
        }
      }
      table.call('preadv', [fd, table.words(words), words.length / 2, offset, 0])
      planned.push(bytes)
    }
    table.run()
    planned.forEach((bytes, index) => {
      if (table.result(index) !== bytes) throw tooShort()
      done += bytes
    })
    progress.bytes(done, total)
  }
  using table = task.remote.table(task.thread)
  table.call('close', [fd])
  table.run()
}

function readExactly(file: number, at: number, length: number, offset: number): void {
  for (let done = 0; done < length;) {
    const n = syscall(NR.pread64, file, at + done, length - done, offset + done)
    if (n <= 0) throw tooShort(n < 0 ? -n : undefined)
    done += n
  }
}

/** Shared anonymous memory that has no name, as mmap makes it: taken out of a mapping of our own by map_files. */
export function sharedMemory(bytes: number): number {
  const address = must('mmap', 0, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
  const range = `${address.toString(16)}-${(address + Math.ceil(bytes / PAGE_SIZE) * PAGE_SIZE).toString(16)}`
  const fd = sys('openat', -100, `/proc/self/map_files/${range}`, O_RDWR | O_CLOEXEC)
  must('munmap', address, bytes)
  if (fd < 0)
    throw new BardoError('refused', 'cannot make shared memory', {
      errno: -fd,
      hint: 'map_files needs CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE',
    })
  return fd
}

/** Copies runs of one file into another; their addresses are offsets there. */
export function copyRuns(from: number, to: number, runs: readonly Run[]): void {
  for (const { address, length, offset } of runs) {
    must('lseek', from, offset, SEEK_SET)
    must('lseek', to, address, SEEK_SET)
    for (let left = length; left > 0;) {
      const n = sys('sendfile', to, from, 0, Math.min(left, MAX_CALL_BYTES))
      if (n < 0) throw refusal('sendfile', n, to, from)
      if (n === 0) throw tooShort()
      left -= n
    }
  }
}
