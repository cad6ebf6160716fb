// Files that were deleted while open: "ghosts". Their contents are in the image, as CRIU keeps them: remap-fpath.img
// says which files are ghosts, ghost-file-<id>.img holds each. They are made again, opened, and deleted at once.
import { bytesOf } from '../../base/bytes.ts'
import { BardoError } from '../../base/errors.ts'
import { encodeEntry, Sink } from '../../image/codec.ts'
import {
  ghost_chunk_entry,
  remap_type,
  type ghost_file_entry,
  type reg_file_entry,
} from '../../image/messages/regular.ts'
import type { Entry } from '../../image/entries.ts'
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  AT_REMOVEDIR,
  EEXIST,
  ENOENT,
  ENXIO,
  EOPNOTSUPP,
  O_CLOEXEC,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_NOFOLLOW,
  O_NONBLOCK,
  O_PATH,
  O_RDWR,
  SEEK_DATA,
  SEEK_HOLE,
  SEEK_SET,
  S_IFDIR,
  S_IFIFO,
  S_IFMT,
  S_IFREG,
} from '../../linux/constants.ts'
import { syscall } from '../../linux/ffi.ts'
import { NR } from '../../linux/nr.ts'
import { major, minor, must, OpenFile, scratch } from '../../linux/sys.ts'
import type { Slot } from '../../program/program.ts'
import type { Build, FileView, Limit, Maker } from '../kind.ts'
import { moveBytes, openToRead } from './contents.ts'
import { fdPath, openFlags, openPath, statPath } from './path.ts'

export const ghostTooLarge: Limit = {
  id: 'deleted-file-size',
  says: 'a deleted file is larger than the image may carry',
  why: 'its contents would be saved with the image',
  hint: 'raise the limit: --ghost-limit BYTES',
}

export const ghostKind: Limit = {
  id: 'deleted-special-file',
  says: 'a deleted device, socket or symbolic link is not supported',
  hint: 'close it before the dump',
}

/** From this size on CRIU writes the parts that are data, and leaves holes out. */
const CHUNKED_FROM = 3 * 4096
const BLOCK_BYTES = 512
const SENDFILE_MAX = 1 << 30
const NAME_MAX = 255

type Deleted = {
  readonly blocks: number
  readonly atim: bigint
  readonly atim_us: bigint
  readonly mtim: bigint
  readonly mtim_us: bigint
}

/** What of struct stat only a deleted file needs. */
function statDeleted(fd: number): Deleted {
  const mark = scratch.mark()
  const at = scratch.take(144)
  must('newfstatat', fd, '', at, AT_EMPTY_PATH)
  const view = new DataView(scratch.at(at, 144).slice().buffer)
  scratch.release(mark)
  const time = (offset: number): bigint => view.getBigUint64(offset, true)
  return {
    blocks: Number(time(64)),
    atim: time(72),
    atim_us: time(80) / 1000n,
    mtim: time(88),
    mtim_us: time(96) / 1000n,
  }
}

/** Saves a file that has no name left, once for all its descriptions, and says that file `view.id` is it. */
export function saveGhost(view: FileView): void {
  const { stat, images } = view
  const type = stat.mode & S_IFMT
  if (type !== S_IFREG && type !== S_IFIFO && type !== S_IFDIR) view.refuse(ghostKind)
  const remap_id = view.once(`ghost ${stat.dev}:${stat.ino}`, () => {
    const deleted = statDeleted(view.ours)
    const bytes = deleted.blocks * BLOCK_BYTES
    if (bytes > view.options.ghostLimitBytes)
      view.refuse(ghostTooLarge, `${bytes} bytes, the limit is ${view.options.ghostLimitBytes}`)
    const id = ++view.once('ghosts', () => ({ count: 0 })).count
    const chunks = type === S_IFREG && stat.size >= CHUNKED_FROM
    images.add('GHOST_FILE', [id], {
      uid: stat.uid,
      gid: stat.gid,
      mode: stat.mode,
      dev: ((major(stat.dev) << 20) | minor(stat.dev)) >>> 0,
      ino: BigInt(stat.ino),
      atim: { tv_sec: deleted.atim, tv_usec: deleted.atim_us },
      mtim: { tv_sec: deleted.mtim, tv_usec: deleted.mtim_us },
      ...(chunks ? { chunks, size: BigInt(stat.size) } : {}),
    })
    if (type === S_IFREG && stat.size > 0) saveContents(view, id, chunks)
    return id
  })
  images.add('REMAP_FPATH', [], { orig_id: view.id, remap_id, remap_type: remap_type.GHOST })
}

function saveContents(view: FileView, id: number, chunks: boolean): void {
  using from = openToRead(view.ours)
  using to = new OpenFile(view.images.openEnd('GHOST_FILE', id))
  const what = 'a deleted file'
  if (!chunks) return moveBytes(from.fd, 0, view.stat.size, to.fd, what)
  const head = new Sink(32)
  for (const { off, len } of dataOf(from.fd, view.stat.size)) {
    head.used = 0
    encodeEntry(head, ghost_chunk_entry, { len: BigInt(len), off: BigInt(off) })
    must('write', to.fd, head.written(), head.used)
    moveBytes(from.fd, off, len, to.fd, what)
  }
}

/** The parts of a file that are not holes. A file system that knows no holes tells one part. */
function* dataOf(fd: number, size: number): Generator<{ readonly off: number; readonly len: number }> {
  for (let off = 0; off < size;) {
    const data = syscall(NR.lseek, fd, off, SEEK_DATA)
    if (data === -ENXIO) return
    if (data < 0) return yield { off, len: size - off }
    const hole = syscall(NR.lseek, fd, data, SEEK_HOLE)
    const end = hole < 0 ? size : Math.min(hole, size)
    if (end > data) yield { off: data, len: end - data }
    off = Math.max(end, data + 1)
  }
}

/** The ghosts of an image: which ghost each file is, and the names that each had. */
type Remaps = { readonly ghosts: ReadonlyMap<number, number>; readonly names: ReadonlyMap<number, ReadonlySet<string>> }

const remaps: Maker<0, Remaps> = {
  name: 'deleted files',
  make(_, at) {
    const ghosts = new Map<number, number>()
    const names = new Map<number, Set<string>>()
    for (const { orig_id, remap_id, remap_type: type } of at.images.readAny('REMAP_FPATH')) {
      const file = at.fileState(orig_id)
      const name = file?.type === 'REG' ? (file.state as reg_file_entry).name : undefined
      if (type !== remap_type.GHOST && type !== undefined) {
        const kinds: Record<number, string> = {
          [remap_type.LINKED]: 'a file that has lost its name and has others (--link-remap)',
          [remap_type.PROCFS]: 'a file of /proc of a process that has ended',
        }
        at.refuse(
          new BardoError('unsupported', `cannot restore ${kinds[type] ?? `a file of remap type ${type}`}`, {
            where: name,
            hint: 'close it before the dump',
          }),
        )
        continue
      }
      if (name === undefined || !name.startsWith('/') || name.includes('\0'))
        throw new BardoError('bad-image', `remap-fpath.img names file ${orig_id}, which has no path`)
      ghosts.set(orig_id, remap_id)
      const known = names.get(remap_id)
      if (known === undefined) names.set(remap_id, new Set([name]))
      else known.add(name)
    }
    return { ghosts, names }
  },
}

/** Opens file `id` if it is a ghost, by the name that it had and with flags of its own; undefined if it is none. */
export function openGhost(id: number, name: string, flags: number, at: Build): Slot<'fd'> | undefined {
  const ghost = at.get(remaps, 0).ghosts.get(id)
  if (ghost === undefined) return undefined
  const made = at.get(ghostOf, ghost).get(name)
  if (made === undefined) throw new BardoError('bad-image', `deleted file ${name} has no contents in the image`)
  return at.open('openat', AT_FDCWD, fdPath(made), openFlags(flags), 0)
}

/** Where a name can be made for a moment: a directory, those that must be made in it, and the name in the last of them. */
type Spot = { readonly dir: string; readonly missing: readonly string[]; readonly base: string }

function spotFor(root: string | undefined, name: string, ghost: number): Spot {
  const slash = name.lastIndexOf('/')
  let dir = name.slice(0, slash) || '/'
  let base = name.slice(slash + 1) || 'deleted'
  // The directory may be gone like the file: then it is made anew, for as long.
  const missing: string[] = []
  for (;;) {
    const stat = statPath(root, dir, false)
    if (typeof stat !== 'number' && (stat.mode & S_IFMT) === S_IFDIR) break
    if (dir === '/')
      throw new BardoError('refused', `cannot make the deleted file ${name}: no directory of its path exists`)
    missing.unshift(dir.slice(dir.lastIndexOf('/') + 1))
    dir = dir.slice(0, dir.lastIndexOf('/')) || '/'
  }
  if (missing.length > 0) return { dir, missing, base }
  // The name may be another file's by now.
  const suffix = `.ghost-${ghost}`
  while (typeof statPath(root, `${dir}/${base}`, true) !== 'number') {
    if (bytesOf(base + suffix).length > NAME_MAX) base = 'deleted'
    base += suffix
  }
  return { dir, missing, base }
}

/** A ghost, opened by each name that it had. */
const ghostOf: Maker<number, ReadonlyMap<string, Slot<'fd'>>> = {
  name: 'deleted file',
  make(ghost, at) {
    const found = at.images.readEntries('GHOST_FILE', ghost)
    const image = found[0]
    if (image === undefined || found.length > 1)
      throw new BardoError(
        'bad-image',
        `ghost-file-${ghost.toString(16)}.img holds ${found.length} entries, and should hold one`,
      )
    const names = [...at.get(remaps, 0).names.get(ghost)!]
    const spots = names.map(name => ({ name, ...spotFor(at.options.root, name, ghost) }))
    const made = makeNamed(spots, image.entry, at)
    const file = made.get(names[0]!)!
    if ((image.entry.mode & S_IFMT) === S_IFREG) fill(ghost, image, file, at)
    at.call('fchown', file, image.entry.uid, image.entry.gid)
    at.call('fchmod', file, image.entry.mode & 0o7777)
    const { atim, mtim } = image.entry
    if (atim !== undefined && mtim !== undefined) {
      const times = new BigUint64Array([atim.tv_sec, atim.tv_usec * 1000n, mtim.tv_sec, mtim.tv_usec * 1000n])
      at.call('utimensat', file, 0, at.memory(new Uint8Array(times.buffer)), 0)
    }
    return made
  },
}

/** Makes the file under each of its names, opens it, and removes the names: nothing comes between that could fail. */
function makeNamed(
  spots: readonly (Spot & { readonly name: string })[],
  { mode }: ghost_file_entry,
  at: Build,
): Map<string, Slot<'fd'>> {
  const type = mode & S_IFMT
  const directories: { readonly parent: Slot<'fd'>; readonly name: string }[] = []
  const placed = spots.map(spot => {
    let directory = openPath(at, spot.dir, O_PATH | O_DIRECTORY)
    for (const name of spot.missing) {
      // Two deleted files may have been in one deleted directory.
      at.attempt([EEXIST], 'mkdirat', directory, name, 0o700)
      directories.push({ parent: directory, name })
      directory = at.open('openat', directory, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0)
    }
    return { ...spot, at: directory }
  })
  const [first, ...others] = placed
  const made = new Map<string, Slot<'fd'>>()
  const open = (spot: (typeof placed)[number], flags: number, create: number): void => {
    made.set(spot.name, at.open('openat', spot.at, spot.base, flags | O_CLOEXEC | O_NOFOLLOW, create))
  }
  if (type === S_IFREG || type === 0) open(first!, O_RDWR | O_CREAT | O_EXCL, 0o600)
  else if (type === S_IFDIR) {
    at.call('mkdirat', first!.at, first!.base, 0o700)
    open(first!, O_DIRECTORY, 0)
  } else if (type === S_IFIFO) {
    at.call('mknodat', first!.at, first!.base, S_IFIFO | 0o600, 0)
    open(first!, O_RDWR | O_NONBLOCK, 0)
  } else
    throw new BardoError('unsupported', `cannot restore ${spots[0]!.name}: ${ghostKind.says}`, { hint: ghostKind.hint })
  for (const spot of others) {
    at.call('linkat', first!.at, first!.base, spot.at, spot.base, 0)
    open(spot, type === S_IFIFO ? O_RDWR | O_NONBLOCK : O_RDWR, 0)
  }
  for (const spot of placed) at.call('unlinkat', spot.at, spot.base, type === S_IFDIR ? AT_REMOVEDIR : 0)
  for (const { parent, name } of directories.toReversed()) at.attempt([ENOENT], 'unlinkat', parent, name, AT_REMOVEDIR)
  return made
}

/** Says how the contents get from the image into the new file. */
function fill(ghost: number, image: Entry<ghost_file_entry>, file: Slot<'fd'>, at: Build): void {
  const name = `ghost-file-${ghost.toString(16)}.img`
  const { chunks, size } = image.entry
  const from = at.open('openat', at.images.fd, name, O_CLOEXEC, 0)
  if (chunks !== true) return move(from, image.payload.offset, image.payload.size, 0, file, at)
  if (size === undefined || size > BigInt(Number.MAX_SAFE_INTEGER))
    throw new BardoError('bad-image', `${name} does not say how large the file is`)
  at.call('ftruncate', file, size)
  for (const part of image.parts) {
    const chunk = part.entry as ghost_chunk_entry
    if (chunk.off + chunk.len > size) throw new BardoError('bad-image', `${name} has a part that ends behind the file`)
    at.call('lseek', file, chunk.off, SEEK_SET)
    move(from, part.payload.offset, part.payload.size, Number(chunk.off), file, at)
  }
}

function move(from: Slot<'fd'>, offset: number, length: number, to: number, file: Slot<'fd'>, at: Build): void {
  if (length === 0) return
  // A full disk would make sendfile end early, and that is no error: room for all is taken first, which is one.
  at.attempt([EOPNOTSUPP], 'fallocate', file, 0, to, length)
  for (let done = 0; done < length; done += SENDFILE_MAX) {
    const position = new BigInt64Array([BigInt(offset + done)])
    at.call('sendfile', file, from, at.memory(new Uint8Array(position.buffer)), Math.min(SENDFILE_MAX, length - done))
  }
}
