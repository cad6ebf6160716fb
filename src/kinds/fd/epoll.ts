// Epolls: lists of watched files. The kernel keys an entry by open file and descriptor number (test/kernel/epoll-key),
// and a watched file may note who asked (a signalfd does, test/kernel/epoll-signalfd). So entries are made in the process
// that has the epoll, under the numbers they had.
//
// An entry with EPOLLET is new when it is made: it tells once more what its owner may know already, as epoll(7) allows.
import { BardoError } from '../../base/errors.ts'
import { eventpoll_file_entry, type eventpoll_tfd_entry } from '../../image/messages/events.ts'
import { AT_FDCWD, EBADF, ENOENT, ESRCH, O_CLOEXEC } from '../../linux/constants.ts'
import { readDirectory, refusal, sys } from '../../linux/sys.ts'
import type { Slot } from '../../program/program.ts'
import { fileKind, type Build, type FileView, type Limit, type TaskBuild } from '../kind.ts'

export const EPOLL_CTL_ADD = 1
/** struct epoll_event, packed on x86-64: events, data. */
const EVENT_BYTES = 12
/** EPOLLEXCLUSIVE, EPOLLWAKEUP, EPOLLONESHOT, EPOLLET say how it watches; the other bits, for what. */
const HOW_BITS = 0xf000_0000
const KCMP_EPOLL_TFD = 7
const NUMBER_MAX = 0x7fff_ffff

const watchedOutside: Limit = {
  id: 'epoll-watches-outside',
  says: 'an epoll that watches a file which no process of the tree has as a descriptor is not supported',
  why: 'it is open elsewhere: in a process outside of the tree, or in the queue of a socket',
  hint: 'let the program take it off the epoll (EPOLL_CTL_DEL) before it closes it, or dump the other process too',
}

/** A line of fdinfo: `3 events: 19 data: 1234 pos:0 ino:15c3fb sdev:f`; numbers but the first and pos in hexadecimal. */
export function parseWatched(line: string): eventpoll_tfd_entry {
  const found = /^(\d+) events: +([0-9a-f]+) data: +([0-9a-f]+) +pos:(-?\d+) ino:([0-9a-f]+) sdev:([0-9a-f]+)$/.exec(
    line,
  )
  if (found === null) throw new BardoError('bug', `fdinfo of an epoll says ${JSON.stringify(line)}`)
  const [, tfd, events, data, pos, ino, sdev] = found
  return {
    id: 0,
    tfd: Number(tfd),
    events: parseInt(events!, 16),
    data: BigInt(`0x${data}`),
    dev: parseInt(sdev!, 16),
    inode: BigInt(`0x${ino}`),
    pos: BigInt.asUintN(64, BigInt(pos!)),
  }
}

/** Finds among descriptors what an epoll watches: it tells a number, whose file may have been closed or moved since. */
class Search {
  readonly #view: FileView
  readonly #epoll: number
  readonly #ours = sys('getpid')

  constructor(view: FileView, epoll: number) {
    this.#view = view
    this.#epoll = epoll
  }

  /** Fills in where the file of an entry is: it is the `nth` of those with its number, in the kernel's order. */
  place(entry: eventpoll_tfd_entry, nth: number): void {
    const [first, ...others] = this.#view.tables
    const number = entry.tfd
    if (first === undefined) return this.#view.refuse(watchedOutside, `descriptor ${number}`)
    if (this.#is(first, number, number, nth)) return
    const moved = this.#find(first, number, nth)
    if (moved !== undefined) {
      entry.tfd = moved
      entry.number = number
      return
    }
    for (const pid of others) {
      const fd = this.#is(pid, number, number, nth) ? number : this.#find(pid, number, nth)
      if (fd === undefined) continue
      entry.file_id = this.#view.fileAt(pid, fd)
      return
    }
    this.#view.refuse(watchedOutside, `descriptor ${number}`)
  }

  #find(pid: number, number: number, nth: number): number | undefined {
    return readDirectory(AT_FDCWD, `/proc/${pid}/fd`)
      .map(Number)
      .find(fd => this.#is(pid, fd, number, nth))
  }

  /** Whether `fd` of process `pid` is the file of that entry. */
  #is(pid: number, fd: number, number: number, nth: number): boolean {
    // struct kcmp_epoll_slot
    const slot = new Uint8Array(Uint32Array.of(this.#epoll, number, nth).buffer)
    const order = sys('kcmp', pid, this.#ours, KCMP_EPOLL_TFD, fd, slot)
    if (order >= 0 || order === -EBADF || order === -ENOENT) return order === 0
    if (order === -ESRCH) throw new BardoError('lost', `process ${pid} died while its files were compared`)
    throw refusal('kcmp', order, pid, this.#ours, KCMP_EPOLL_TFD, fd)
  }
}

/** One entry to be made: which file, under which number. */
type Entry = {
  readonly file: Slot<'fd'>
  readonly number: number
  readonly events: number
  readonly data: bigint
}

/** struct epoll_event of what an entry watches for. */
export function event({ events, data }: Pick<Entry, 'events' | 'data'>): Uint8Array {
  const bytes = new Uint8Array(EVENT_BYTES)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, events, true)
  view.setBigUint64(4, data, true)
  return bytes
}

/** In groups without a number twice: of files that had one number after another. */
function groupsOf(entries: readonly Entry[]): Entry[][] {
  const groups: Map<number, Entry>[] = []
  const met = new Map<number, number>()
  for (const entry of entries) {
    const before = met.get(entry.number) ?? 0
    met.set(entry.number, before + 1)
    const group = (groups[before] ??= new Map<number, Entry>())
    group.set(entry.number, entry)
  }
  return groups.map(group => [...group.values()])
}

function addAll(id: number, epoll: Slot<'fd'>, entries: readonly Entry[], at: Build): void {
  for (const group of groupsOf(entries)) {
    const taken = new Set(group.map(({ number }) => number))
    let own = 0
    while (taken.has(own)) own++
    const files = [{ file: epoll, number: own }, ...group]
    at.withNumbers(id, files, (task: TaskBuild) => {
      for (const entry of group) task.call('epoll_ctl', own, EPOLL_CTL_ADD, entry.number, task.memory(event(entry)))
    })
  }
}

/** What older versions of CRIU kept in a file of its own. */
function olderEntries(id: number, at: Build): eventpoll_tfd_entry[] {
  return at.images.has('EVENTPOLL_TFD') ? at.images.read('EVENTPOLL_TFD').filter(entry => entry.id === id) : []
}

function entryOf(id: number, watched: eventpoll_tfd_entry, at: Build): Entry {
  const { tfd, events, data, number = tfd } = watched
  const file_id = watched.file_id ?? at.beside(id, tfd)
  if (file_id === undefined || number > NUMBER_MAX)
    throw new BardoError('bad-image', `epoll ${id} watches descriptor ${tfd}, which no process has that has the epoll`)
  return { file: at.file(file_id), number, events, data }
}

export const epoll = fileKind({
  name: 'epoll',
  type: 'EVENTPOLL',
  field: 'epfd',
  image: eventpoll_file_entry,
  matches: { link: 'anon_inode:[eventpoll]' },
  limits: [watchedOutside],
  // What it watches is known when all files are.
  writtenLast: true,
  dump(view) {
    const tfd = (view.fdinfo.extra.get('tfd') ?? []).map(parseWatched)
    if (tfd.length === 0) return { tfd }
    const search = new Search(view, view.keep())
    view.atEnd(() => {
      const met = new Map<number, number>()
      for (const entry of tfd) {
        const nth = met.get(entry.tfd) ?? 0
        met.set(entry.tfd, nth + 1)
        search.place(entry, nth)
      }
      // The kernel's order is that of its addresses.
      tfd.sort((a, b) => (a.number ?? a.tfd) - (b.number ?? b.tfd) || (a.data < b.data ? -1 : 1))
    })
    return { tfd }
  },
  numbers: ({ tfd }) => tfd.map(({ tfd: fd, number }) => number ?? fd),
  restore({ id, tfd }, at) {
    const file = at.open('epoll_create1', O_CLOEXEC)
    const entries = [...tfd, ...olderEntries(id, at)].map(watched => entryOf(id, watched, at))
    // An entry with EPOLLONESHOT that has fired is silent until it is armed again. To add it arms it for errors and
    // hang-ups: those that are there already are let fire, before there are others that could (test/kernel/epoll-oneshot).
    const fired = entries.filter(({ events }) => (events & ~HOW_BITS) === 0)
    addAll(id, file, fired, at)
    if (fired.length > 0)
      at.later('descriptors', late =>
        late.call('epoll_pwait', file, late.memory(EVENT_BYTES * fired.length), fired.length, 0, 0, 8),
      )
    addAll(
      id,
      file,
      entries.filter(entry => !fired.includes(entry)),
      at,
    )
    return file
  },
})
