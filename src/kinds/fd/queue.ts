// What is in a pipe or fifo: saved without being taken out, and put into a new one.
import { BardoError } from '../../base/errors.ts'
import type { pipe_data_entry } from '../../image/messages/pipes.ts'
import {
  EAGAIN,
  F_GETPIPE_SZ,
  F_SETPIPE_SZ,
  O_ACCMODE,
  O_CLOEXEC,
  O_WRONLY,
  SPLICE_F_NONBLOCK,
} from '../../linux/constants.ts'
import { syscall } from '../../linux/ffi.ts'
import { NR } from '../../linux/nr.ts'
import { must, OpenFile, scratch, sys } from '../../linux/sys.ts'
import type { Slot } from '../../program/program.ts'
import type { Build, FileView, Maker } from '../kind.ts'
import { drainPipe } from './contents.ts'

type Key = 'PIPES_DATA' | 'FIFO_DATA'
type Span = { readonly offset: number; readonly size: number }
type Queue = { readonly entry: pipe_data_entry; readonly payload: Span }

const DEFAULT_BYTES = 64 << 10
const MFD_CLOEXEC = 1
const PAGE_BYTES = 4096
/** A pipe may have 2^31 bytes at most (fs/pipe.c, round_pipe_size); an image may ask for no more. */
const SIZE_MAX = 1 << 30

/**
 * Saves what is queued, once for all descriptors of the pipe. Only an end that can be read tells; its absence is legal.
 */
export function saveQueue(view: FileView, key: Key, pipe_id: number): void {
  if ((view.flags & O_ACCMODE) === O_WRONLY) return
  view.once(`${key} ${pipe_id}`, () => {
    const size = must('fcntl', view.ours, F_GETPIPE_SZ)
    using pipe = new CopyPipe(size)
    const bytes = pipe.copyFrom(view.ours, size)
    view.images.add(key, [], { pipe_id, bytes, size })
    if (bytes === 0) return
    using file = new OpenFile(view.images.openEnd(key))
    drainPipe(pipe.reads, bytes, file.fd, 'what is in the pipe')
  })
}

/** A pipe of ours. tee(2) copies references into it and leaves the other pipe as it was. */
class CopyPipe {
  readonly reads: number
  readonly writes: number

  constructor(size: number) {
    const mark = scratch.mark()
    const at = scratch.take(8)
    must('pipe2', at, O_CLOEXEC)
    const ends = new Uint32Array(scratch.at(at, 8).slice().buffer)
    scratch.release(mark)
    this.reads = ends[0]!
    this.writes = ends[1]!
    const result = sys('fcntl', this.writes, F_SETPIPE_SZ, size)
    if (result >= size) return
    this[Symbol.dispose]()
    throw new BardoError('refused', `cannot make a pipe of ${size} bytes`, {
      errno: result < 0 ? result : undefined,
      why: 'what is in a pipe is copied into another of its size',
      hint: 'raise /proc/sys/fs/pipe-max-size, or give CAP_SYS_RESOURCE',
    })
  }

  copyFrom(from: number, size: number): number {
    const bytes = syscall(NR.tee, from, this.writes, size, SPLICE_F_NONBLOCK)
    if (bytes >= 0) return bytes
    if (bytes === -EAGAIN) return 0
    throw new BardoError('refused', 'cannot read what is in the pipe', { errno: bytes })
  }

  [Symbol.dispose](): void {
    syscall(NR.close, this.reads)
    syscall(NR.close, this.writes)
  }
}

/** The queues of the images, by pipe_id. */
const queues: Maker<Key, Map<number, Queue>> = {
  name: 'queues',
  make(key, at) {
    const found = new Map<number, Queue>()
    if (!at.images.has(key)) return found
    for (const queue of at.images.readEntries(key)) {
      checkQueue(queue.entry)
      found.set(queue.entry.pipe_id, queue)
    }
    return found
  },
}

function checkQueue({ pipe_id, bytes, size }: pipe_data_entry): void {
  // A pipe is made of pages, a power of two of them; what CRIU saved without a size was in a pipe of 64 KiB.
  const room = Math.max(PAGE_BYTES, 2 ** Math.ceil(Math.log2(size ?? DEFAULT_BYTES)))
  if (room <= SIZE_MAX && bytes <= room) return
  throw new BardoError('bad-image', `pipe ${pipe_id} cannot hold ${bytes} bytes in a size of ${size}`)
}

const imageFile: Maker<string, Slot<'fd'>> = {
  name: 'image file',
  make: (name, at) => at.open('openat', at.images.fd, name, O_CLOEXEC, 0),
}

/**
 * Says that `pipe`, new and with a writable end, gets its size and what was in it.
 * The bytes go through memory of their own: pages of the image file inside a pipe would change when the file does, and
 * a queue that does not begin on a page of the file would not fit into its pipe.
 */
export function fillQueue(at: Build, key: Key, pipe_id: number, pipe: Slot<'fd'>): void {
  const queue = at.get(queues, key).get(pipe_id)
  if (queue === undefined) return
  const { entry, payload } = queue
  if (entry.size !== undefined) at.call('fcntl', pipe, F_SETPIPE_SZ, entry.size)
  if (payload.size === 0) return
  const from = at.get(imageFile, key === 'PIPES_DATA' ? 'pipes-data.img' : 'fifo-data.img')
  const memory = at.open('memfd_create', 'queue', MFD_CLOEXEC)
  at.call('sendfile', memory, from, at.memory(offsetBytes(payload.offset)), payload.size)
  at.call('splice', memory, at.memory(offsetBytes(0)), pipe, 0, payload.size, SPLICE_F_NONBLOCK)
}

/** A loff_t. */
const offsetBytes = (offset: number): Uint8Array => new Uint8Array(new BigInt64Array([BigInt(offset)]).buffer)
