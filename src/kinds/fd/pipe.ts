// Pipes: two ends, any number of descriptions of each, and what is in between.
import type { External } from '../../base/options.ts'
import { pipe_entry } from '../../image/messages/pipes.ts'
import {
  AT_FDCWD,
  FIONREAD,
  O_ACCMODE,
  O_CLOEXEC,
  O_DIRECT,
  O_LARGEFILE,
  O_NONBLOCK,
  O_RDWR,
  O_WRONLY,
} from '../../linux/constants.ts'
import { must, scratch } from '../../linux/sys.ts'
import type { Slot } from '../../program/program.ts'
import { fileKind, type Build, type FileView, type Limit, type Maker } from '../kind.ts'
import { fdPath, openFlags } from './path.ts'
import { fillQueue, saveQueue } from './queue.ts'

const packetMode: Limit = {
  id: 'pipe-packet-mode',
  says: 'packet mode (O_DIRECT) with packets in the queue is not supported',
  why: 'the borders of the packets are not saved',
  hint: "let the reader take them before the dump, or leave the pipe outside: --external 'pipe:[INODE]'",
}

/** The ends that pipe2 made, which one description each may keep. */
type Pipe = { readonly reads: Slot<'fd'>; readonly writes: Slot<'fd'>; readonly taken: Set<number> }

const pipeOf: Maker<number, Pipe> = {
  name: 'pipe',
  make(pipe_id, at) {
    const ends = at.memory(8)
    // Without O_NONBLOCK a pipe that is smaller than the image says would hold us up for ever.
    at.call('pipe2', ends, O_CLOEXEC | O_NONBLOCK)
    const reads = at.loadFile(ends, 0)
    const writes = at.loadFile(ends, 4)
    fillQueue(at, 'PIPES_DATA', pipe_id, writes)
    return { reads, writes, taken: new Set() }
  },
}

/** A description that reads and writes: as long as there is one, opening an end waits for nobody. */
const bothOf: Maker<number, Slot<'fd'>> = {
  name: 'pipe, both ends',
  make: (pipe_id, at) =>
    at.open('openat', AT_FDCWD, fdPath(at.get(pipeOf, pipe_id).reads), O_RDWR | O_NONBLOCK | O_CLOEXEC, 0),
}

function restoreEnd(pipe_id: number, flags: number, at: Build): Slot<'fd'> {
  const outside = at.inherited({ kind: 'pipe', ino: pipe_id })
  if (outside !== undefined) {
    // Opened anew, since status flags are the description's, and the caller keeps its own. O_NONBLOCK: the other end
    // may be nobody's by now. The core sets the flags that the file had.
    return at.open('openat', AT_FDCWD, fdPath(outside), openFlags((flags & ~O_DIRECT) | O_NONBLOCK), 0)
  }
  const pipe = at.get(pipeOf, pipe_id)
  const access = flags & O_ACCMODE
  // open sets O_LARGEFILE and pipe2 does not: a description that has it was opened through /proc, and so is opened
  // again.
  if ((flags & O_LARGEFILE) === 0 && access !== O_RDWR && !pipe.taken.has(access)) {
    pipe.taken.add(access)
    return access === O_WRONLY ? pipe.writes : pipe.reads
  }
  return at.open('openat', AT_FDCWD, fdPath(at.get(bothOf, pipe_id)), openFlags(flags & ~O_DIRECT), 0)
}

function queued(view: FileView): number {
  const mark = scratch.mark()
  const at = scratch.take(4)
  try {
    must('ioctl', view.ours, FIONREAD, at)
    return scratch.view.getUint32(at - scratch.address, true)
  } finally {
    scratch.release(mark)
  }
}

export const pipe = fileKind({
  name: 'pipe',
  type: 'PIPE',
  field: 'pipe',
  image: pipe_entry,
  matches: { link: 'pipe:[' },
  limits: [packetMode],
  dump(view) {
    const pipe_id = view.stat.ino
    const external: External = { kind: 'pipe', ino: pipe_id }
    // Outside, its queue is not ours to copy: whoever holds the pipe has it still.
    if (view.isExternal(external)) return { pipe_id }
    if ((view.flags & O_DIRECT) !== 0 && queued(view) > 0) view.refuse(packetMode)
    saveQueue(view, 'PIPES_DATA', pipe_id)
    return { pipe_id }
  },
  restore: ({ pipe_id, flags }, at) => restoreEnd(pipe_id, flags, at),
})
