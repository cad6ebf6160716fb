// Eventfds, timerfds, signalfds, epolls and memfds of an image become a program: what is said, and what is refused.
import { afterEach, beforeEach, expect, test } from 'bun:test'
import { closeSync, mkdtempSync, openSync, rmSync } from 'node:fs'
import { Report } from '../base/errors.ts'
import type { RestoreOptions } from '../base/options.ts'
import { ImageDirectory } from '../image/directory.ts'
import { fd_types } from '../image/messages/files.ts'
import { ImageWriter } from '../image/writer.ts'
import { ProgramBuilder } from '../program/build.ts'
import { printStep } from '../program/print.ts'
import { RestoreBuild } from './build.ts'
import { FilePlan } from './files.ts'
import { PHASES } from './order.ts'

const fown = { uid: 0, euid: 0, signum: 0, pid_type: 0, pid: 0 }
let place: string
let fd: number
let writer: ImageWriter

beforeEach(() => {
  place = mkdtempSync('/tmp/bardo-events-')
  fd = openSync(place, 'r')
  writer = new ImageWriter(fd)
})
afterEach(() => {
  closeSync(fd)
  rmSync(place, { recursive: true, force: true })
})

type Type = 'EVENTFD' | 'TIMERFD' | 'SIGNALFD' | 'EVENTPOLL' | 'MEMFD'
const fields = { EVENTFD: 'efd', TIMERFD: 'tfd', SIGNALFD: 'sgfd', EVENTPOLL: 'epfd', MEMFD: 'memfd' } as const
const types = new Map<number, number>()

function add(id: number, type: Type, state: object): void {
  types.set(id, fd_types[type])
  writer.add('FILES', [], { type: fd_types[type], id, [fields[type]]: { id, flags: 2, fown, ...state } })
}

/** The files of a table by their numbers in it. */
function table(filesId: number, files: Readonly<Record<number, number>>): void {
  writer.begin('FDINFO', filesId)
  for (const [number, id] of Object.entries(files))
    writer.add('FDINFO', [filesId], { id, fd: Number(number), flags: 0, type: types.get(id)! })
}

/** What is said to make file `id`, without status flags and the names of slots; findings instead if there are some. */
function said(id: number, ...tables: number[]): string[] {
  writer.finish()
  using images = new ImageDirectory(fd)
  const report = new Report()
  const options = { externals: [], inherited: [], root: undefined } as unknown as RestoreOptions
  const plan = new FilePlan({ images, options, report })
  for (const filesId of tables) plan.descriptors(filesId, { pid: filesId * 100, comm: 'test' })
  const program = new ProgramBuilder(PHASES)
  const at = new RestoreBuild(
    { images, options, program, files: plan, report, pids: new Set() },
    { what: 'test', phase: 'files' },
  )
  plan.make(id, at)
  if (report.findings.length > 0) return report.findings.map(({ code, what }) => `${code}: ${what}`)
  const lines = program.steps.map(step => printStep(step).replace(/ +#.*$/, ''))
  return lines
    .filter(line => !line.includes('F_SETFL'))
    .map(line => line.replace(/\$\d+ = (?!eventfd2|epoll_create1|memfd)/, '').replaceAll(/&\d+/g, '&'))
}

const timer = { clockid: 1, ticks: 0n, settime_flags: 0, vsec: 0n, vnsec: 0n, isec: 0n, insec: 0n }

test('an eventfd is filled by a write, which takes 64 bits', () => {
  add(1, 'EVENTFD', { counter: 1n << 40n, semaphore: true })
  expect(said(1)).toEqual([
    'host: $1 = eventfd2(0, EFD_SEMAPHORE|EFD_NONBLOCK|EFD_CLOEXEC)',
    'host: write($1, &{0000000000010000}, 8)',
  ])
})

test('an eventfd that no write can fill is refused', () => {
  add(1, 'EVENTFD', { counter: (1n << 64n) - 1n })
  expect(said(1)).toEqual([
    'unsupported: cannot restore the file: an eventfd whose counter has overflown is not supported',
  ])
})

test('a timerfd is armed late, its ticks behind', () => {
  add(1, 'TIMERFD', { ...timer, vsec: 3n, vnsec: 7n, ticks: 2n })
  const lines = said(1)
  expect(lines.map(line => line.replace(/\(.*/, ''))).toEqual([
    'host: timerfd_create',
    'host: timerfd_settime',
    'host: ioctl',
  ])
})

test('a timerfd of which nothing is set is only made, and one with odd times is refused', () => {
  add(1, 'TIMERFD', timer)
  add(2, 'TIMERFD', { ...timer, vnsec: 1_000_000_000n })
  add(3, 'TIMERFD', { ...timer, clockid: 4 })
  expect(said(1)).toHaveLength(1)
  for (const id of [2, 3]) expect(said(id)).toEqual([`bad-image: timerfd ${id} has a clock or times that are none`])
})

test('an epoll is filled in the process that has it, by its numbers', () => {
  add(1, 'EVENTPOLL', {
    tfd: [
      { id: 0, tfd: 5, events: 0x19, data: 1n },
      { id: 0, tfd: 6, events: 0x19, data: 2n, number: 5 },
      { id: 0, tfd: 0, events: 0x40000000, data: 3n },
      { id: 0, tfd: 9, events: 0x19, data: 4n, file_id: 4 },
    ],
  })
  for (const id of [2, 3, 4]) add(id, 'EVENTFD', { counter: 0n })
  table(1, { 0: 4 })
  table(2, { 0: 2, 1: 1, 5: 2, 6: 3 })
  table(3, { 1: 1, 5: 4 })
  expect(said(1, 1, 2, 3)).toEqual([
    'host: $1 = epoll_create1(O_CLOEXEC)',
    'host: $2 = eventfd2(0, EFD_NONBLOCK|EFD_CLOEXEC)',
    'host: $4 = eventfd2(0, EFD_NONBLOCK|EFD_CLOEXEC)',
    'host: $6 = eventfd2(0, EFD_NONBLOCK|EFD_CLOEXEC)',
    // The one that has fired, alone: whatever it could still tell is taken from it.
    ' 200: pass $1 at 1, $2 at 0',
    ' 200: epoll_ctl(1, EPOLL_CTL_ADD, 0, &{000000400300000000000000})',
    ' 200: close(1)',
    ' 200: close(0)',
    'host: epoll_pwait($1, &{12 zero bytes}, 1, 0, 0, 8)',
    ' 200: pass $1 at 0, $2 at 5, $6 at 9',
    ' 200: epoll_ctl(0, EPOLL_CTL_ADD, 5, &{190000000100000000000000})',
    ' 200: epoll_ctl(0, EPOLL_CTL_ADD, 9, &{190000000400000000000000})',
    ' 200: close(0)',
    ' 200: close(5)',
    ' 200: close(9)',
    // The other by number 5.
    ' 200: pass $1 at 0, $4 at 5',
    ' 200: epoll_ctl(0, EPOLL_CTL_ADD, 5, &{190000000200000000000000})',
    ' 200: close(0)',
    ' 200: close(5)',
  ])
})

test('epolls that watch each other, or what is not there, are refused', () => {
  const watch = (tfd: number): object => ({ tfd: [{ id: 0, tfd, events: 1, data: 0n }] })
  add(1, 'EVENTPOLL', watch(2))
  add(2, 'EVENTPOLL', watch(1))
  add(3, 'EVENTPOLL', watch(4))
  table(1, { 1: 1, 2: 2, 3: 3 })
  expect(said(1, 1)).toEqual(['bad-image: files.img has files that need each other, or too many: file 1'])
  expect(said(3, 1)).toEqual(['bad-image: epoll 3 watches descriptor 4, which no process has that has the epoll'])
})

const inode = { name: 'x', uid: 1, gid: 2, size: 5000n, shmid: 9, inode_id: 3n, mode: 0o100640 }

test('a memfd is made once, and sealed when all have it', () => {
  writer.add('MEMFD_INODE', [], { ...inode, seals: 8 })
  writer.add('SHMEM_PAGEMAP', [9], { pages_id: 7 })
  writer.addAll('SHMEM_PAGEMAP', [9], [{ vaddr: 4096n, compat_nr_pages: 0, nr_pages: 1n, flags: 4 }])
  add(1, 'MEMFD', { pos: 0n, inode_id: 3 })
  const names = said(1).map(line => line.replace(/^host: (\$\d+ = )?/, '').replace(/[( ].*/, ''))
  expect(names).toEqual(['memfd_create', 'openat', 'copy', 'ftruncate', 'lseek', 'fchown', 'fchmod', 'fcntl'])
})

test('a memfd that is not whole is refused', () => {
  writer.add('MEMFD_INODE', [], { ...inode, seals: 1 })
  writer.add('MEMFD_INODE', [], { ...inode, seals: 1, inode_id: 4n, hugetlb_flag: 4 })
  writer.add('SHMEM_PAGEMAP', [9], { pages_id: 7 })
  writer.addAll('SHMEM_PAGEMAP', [9], [{ vaddr: 8192n, compat_nr_pages: 0, nr_pages: 1n, flags: 4 }])
  for (const inode_id of [3, 4, 5]) add(inode_id, 'MEMFD', { pos: 0n, inode_id })
  expect(said(3)).toEqual(['bad-image: a pagemap has pages out of order or of bounds'])
  expect(said(4)).toEqual([
    'unsupported: cannot restore the file: a memfd of huge pages (MFD_HUGETLB) is not supported',
  ])
  expect(said(5)).toEqual(['bad-image: memfd.img has no inode 5'])
})
