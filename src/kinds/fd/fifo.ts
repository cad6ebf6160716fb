// Fifos: pipes that are found by a path. The path is kept as a file of kind REG beside the fifo.
import { BardoError } from '../../base/errors.ts'
import { fifo_entry } from '../../image/messages/pipes.ts'
import type { reg_file_entry } from '../../image/messages/regular.ts'
import { AT_FDCWD, O_NONBLOCK, O_RDWR, S_IFIFO } from '../../linux/constants.ts'
import type { Slot } from '../../program/program.ts'
import { fileKind, type FileView, type Maker } from '../kind.ts'
import { fdPath, openFlags } from './path.ts'
import { fillQueue, saveQueue } from './queue.ts'
import { openNamed } from './regular.ts'

/** The number that all descriptions of one fifo share: the inode's, where 32 bits can hold it. */
function pipeIdOf(view: FileView): number {
  const file = `${view.stat.dev}:${view.stat.ino}`
  for (let id = view.stat.ino % 2 ** 32; ; id = (id + 1) % 2 ** 32)
    if (view.once(`fifo ${id}`, () => file) === file) return id
}

/** Each fifo, opened for reading and writing: so opening it with other flags waits for nobody. */
const fifos: Maker<0, Map<number, Slot<'fd'>>> = { name: 'fifos', make: () => new Map() }

export const fifo = fileKind({
  name: 'fifo',
  type: 'FIFO',
  field: 'fifo',
  image: fifo_entry,
  matches: { mode: [S_IFIFO] },
  limits: [],
  opensWithFlags: true,
  dump(view) {
    const regf_id = view.saveName()
    const pipe_id = pipeIdOf(view)
    saveQueue(view, 'FIFO_DATA', pipe_id)
    return { pipe_id, regf_id }
  },
  restore({ id, pipe_id, regf_id }, at) {
    const file = at.fileState(regf_id ?? id)
    if (file?.type !== 'REG') throw new BardoError('bad-image', `the path of fifo ${id} is missing`)
    const named = file.state as reg_file_entry
    const made = at.get(fifos, 0)
    let both = made.get(pipe_id)
    if (both === undefined) {
      both = openNamed(named, O_RDWR | O_NONBLOCK, at)
      made.set(pipe_id, both)
      fillQueue(at, 'FIFO_DATA', pipe_id, both)
    }
    return at.open('openat', AT_FDCWD, fdPath(both), openFlags(named.flags), 0)
  },
})
