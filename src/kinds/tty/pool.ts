// New ptys, with the numbers that the old ones had where those are free.
//
// The kernel gives the lowest free number, so to get a certain one all free ones below it are taken for a while. Which
// those are is looked up while the program is planned; if somebody else takes one meanwhile, the number is another one,
// and nothing depends on it: slaves are opened through their master.
import {
  AT_FDCWD,
  EACCES,
  ENOENT,
  O_CLOEXEC,
  O_NOCTTY,
  O_RDWR,
  S_IFCHR,
  S_IFMT,
  TIOCGPTN,
} from '../../linux/constants.ts'
import { readDirectory } from '../../linux/sys.ts'
import { BardoError } from '../../base/errors.ts'
import type { Slot } from '../../program/program.ts'
import type { Build, Maker } from '../kind.ts'
import { openPath, statPath } from '../fd/path.ts'
import { deviceOf } from './device.ts'

/** More is not worth the while: the number shows in names only. */
const SPARE_MAX = 64
const INT_SIZE = 4

class Pool {
  readonly #path: string
  /** Numbers that are not free, as far as we can foresee. */
  readonly #used: Set<number>
  /** Masters that were opened for their number only. A later pty may want just that. */
  readonly #spare = new Map<number, Slot<'fd'>>()

  constructor(path: string, used: Iterable<number>) {
    this.#path = path
    this.#used = new Set(used)
  }

  /** A new master, blocking and locked; its number is `index` if that can be had. */
  take(at: Build, index: number): Slot<'fd'> {
    const spare = this.#spare.get(index)
    if (spare !== undefined) {
      this.#spare.delete(index)
      return spare
    }
    const below = this.#used.has(index) ? [] : this.#freeBelow(index)
    if (below === undefined || this.#used.has(index)) return this.#open(at, this.#lowest())
    for (const number of below) this.#spare.set(number, this.#open(at, number))
    const master = this.#open(at, index)
    // The last use of a file closes it, so this keeps them open until here.
    for (const number of below) at.call('ioctl', this.#spare.get(number)!, TIOCGPTN, at.memory(INT_SIZE))
    return master
  }

  #open(at: Build, number: number): Slot<'fd'> {
    this.#used.add(number)
    return openPath(at, this.#path, O_RDWR)
  }

  #freeBelow(index: number): number[] | undefined {
    const free: number[] = []
    for (let number = 0; number < index; number++) {
      if (!this.#used.has(number)) free.push(number)
      if (free.length > SPARE_MAX) return undefined
    }
    return free
  }

  #lowest(): number {
    let number = 0
    while (this.#used.has(number)) number++
    return number
  }
}

const DEFAULT = '/dev/ptmx'

/** The devpts of a ptmx device: itself in it, or `pts` beside it (devpts_mntget of fs/devpts/inode.c). */
function numbersIn(root: string | undefined, path: string): number[] {
  const folder = path.slice(0, path.lastIndexOf('/'))
  for (const place of [`${folder}/pts`, folder]) {
    const names = namesIn(`${root ?? ''}${place}`)
    if (names.includes('ptmx')) return names.filter(name => /^\d+$/.test(name)).map(Number)
  }
  return []
}

function namesIn(path: string): string[] {
  try {
    return readDirectory(AT_FDCWD, path)
  } catch (thrown) {
    if (thrown instanceof BardoError && (thrown.errno === ENOENT || thrown.errno === EACCES)) return []
    throw thrown
  }
}

const pool: Maker<string, Pool> = {
  name: 'ptys of',
  make: (path, at) => new Pool(path, numbersIn(at.options.root, path)),
}

const isPtmx = (at: Build, path: string): boolean => {
  const stat = statPath(at.options.root, path, false)
  return typeof stat !== 'number' && (stat.mode & S_IFMT) === S_IFCHR && deviceOf(stat.rdev)?.is === 'master'
}

/** Says that a pty is made, as `path` made it: through another way if that is no ptmx here. */
export function newMaster(at: Build, path: string | undefined, index: number): Slot<'fd'> {
  const found = [path, DEFAULT, '/dev/pts/ptmx'].find(one => one !== undefined && isPtmx(at, one))
  if (found === undefined)
    throw new BardoError('refused', 'there is no /dev/ptmx to make a terminal with', {
      hint: 'mount devpts at /dev/pts',
    })
  return at.get(pool, found).take(at, index)
}

/** Flags for a slave that we use ourselves. */
export const OURS = O_RDWR | O_NOCTTY | O_CLOEXEC
