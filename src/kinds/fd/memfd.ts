// Memfds: files of memory (memfd_create). Several descriptions and mappings may have one; CRIU keeps shared anonymous
// memory as one too, by the name /dev/zero.
import { BardoError } from '../../base/errors.ts'
import { memfd_file_entry, type memfd_inode_entry } from '../../image/messages/memfd.ts'
import { AT_FDCWD, ENOENT, O_ACCMODE, O_PATH, O_RDWR, SEEK_SET, S_IFREG } from '../../linux/constants.ts'
import { readFile, refusal, sys } from '../../linux/sys.ts'
import type { Slot } from '../../program/program.ts'
import { fileKind, type Build, type FileView, type Limit, type Maker } from '../kind.ts'
import { openToRead } from './contents.ts'
import { fdPath, openFlags } from './path.ts'
import { fileSystemOf } from './regular.ts'

const MFD_CLOEXEC = 1
const MFD_ALLOW_SEALING = 2
/** Of Linux 6.3, as is the file. */
const MFD_NOEXEC_SEAL = 8
const MFD_EXEC = 0x10
const NOEXEC_FILE = '/proc/sys/vm/memfd_noexec'
const F_ADD_SEALS = 1033
const F_GET_SEALS = 1034
const F_SEAL_SEAL = 1
const F_SEAL_EXEC = 0x20
const EXECUTABLE = 0o111
const HUGETLBFS_MAGIC = 0x9584_58f6

const PREFIX = '/memfd:'
const DELETED = ' (deleted)'
/** Shared anonymous memory, as CRIU names it. */
const ANONYMOUS = '/dev/zero'

const hugePages: Limit = {
  id: 'memfd-huge-pages',
  says: 'a memfd of huge pages (MFD_HUGETLB) is not supported',
  hint: 'close it before the dump',
}

/** Saves the inode behind a memfd, once; what files name it by. */
function saveInode(view: FileView): number {
  const { stat } = view
  const shmid = stat.ino % 2 ** 32
  return view.once(`memfd ${stat.dev}:${stat.ino}`, () => {
    // The description itself may be O_PATH, which tells nothing of the file.
    using file = openToRead(view.ours)
    if (fileSystemOf(file.fd) === HUGETLBFS_MAGIC) view.refuse(hugePages)
    const seals = sys('fcntl', file.fd, F_GET_SEALS)
    if (seals < 0) throw refusal('fcntl', seals, file.fd, F_GET_SEALS)
    const name = view.link.slice(PREFIX.length, -DELETED.length)
    const { uid, gid, mode, size } = stat
    view.saveMemory(shmid)
    view.images.add('MEMFD_INODE', [], {
      name,
      uid,
      gid,
      size: BigInt(size),
      shmid,
      seals,
      inode_id: BigInt(shmid),
      mode,
    })
    return shmid
  })
}

/** The inodes of the image by their ids. */
const inodes: Maker<0, ReadonlyMap<number, memfd_inode_entry>> = {
  name: 'memfd.img',
  make: (_, { images }) =>
    new Map(
      (images.has('MEMFD_INODE') ? images.read('MEMFD_INODE') : []).map(inode => [Number(inode.inode_id), inode]),
    ),
}

/** How it is made, so that it can have the mode and the seals that it had. */
function flagsOf({ seals, mode = EXECUTABLE }: memfd_inode_entry): number {
  // Without this seal a memfd has it from the beginning: nobody may seal it.
  const sealing = seals === F_SEAL_SEAL ? 0 : MFD_ALLOW_SEALING
  const tellsExec = readFile(AT_FDCWD, NOEXEC_FILE, [ENOENT]) !== undefined
  const exec = !tellsExec ? 0 : (seals & F_SEAL_EXEC) !== 0 && (mode & EXECUTABLE) === 0 ? MFD_NOEXEC_SEAL : MFD_EXEC
  return MFD_CLOEXEC | sealing | exec
}

/** The memory, open for both, and whether a description has that very file. */
type Inode = { readonly file: Slot<'fd'>; taken: boolean }

const inodeOf: Maker<number, Inode> = {
  name: 'memfd',
  make(inode_id, at) {
    const inode = at.get(inodes, 0).get(inode_id)
    if (inode === undefined) throw new BardoError('bad-image', `memfd.img has no inode ${inode_id}`)
    if ((inode.hugetlb_flag ?? 0) !== 0)
      throw new BardoError('unsupported', `cannot restore the file: ${hugePages.says}`, { hint: hugePages.hint })
    const size = Number(inode.size)
    if (!Number.isSafeInteger(size)) throw new BardoError('bad-image', `memfd ${inode_id} has ${inode.size} bytes`)
    return { file: inode.name === ANONYMOUS ? anonymous(inode, size, at) : named(inode, size, at), taken: false }
  },
}

function anonymous(inode: memfd_inode_entry, size: number, at: Build): Slot<'fd'> {
  if (size === 0) throw new BardoError('bad-image', `shared memory ${inode.shmid} is empty`)
  const file = at.sharedMemory(size)
  at.fillMemory(file, inode.shmid, size)
  return file
}

function named(inode: memfd_inode_entry, size: number, at: Build): Slot<'fd'> {
  const { name, shmid, uid, gid, mode, seals } = inode
  if (name.includes('\0')) throw new BardoError('bad-image', `memfd ${inode.inode_id} has a name that is none`)
  const file = at.open('memfd_create', name, flagsOf(inode))
  at.fillMemory(file, shmid, size)
  // What was filled in ends with a whole page.
  at.call('ftruncate', file, size)
  // When all descriptions and mappings have been made: neither mode nor seals hindered those that there are. Mappings that
  // may not come to write are made through a description that cannot (test/kernel/memfd-seals).
  at.later('signals', late => {
    late.call('fchown', file, uid, gid)
    if (mode !== undefined) late.call('fchmod', file, mode & 0o7777)
    if (seals !== F_SEAL_SEAL && seals !== 0) late.call('fcntl', file, F_ADD_SEALS, seals)
  })
  return file
}

function openAnew(inode: Inode, flags: number, at: Build): Slot<'fd'> {
  return at.open('openat', AT_FDCWD, fdPath(inode.file), openFlags(flags), 0)
}

export const memfd = fileKind({
  name: 'memfd',
  type: 'MEMFD',
  field: 'memfd',
  image: memfd_file_entry,
  matches: { mode: [S_IFREG], link: PREFIX, nameless: true },
  limits: [hugePages],
  dump: view => ({ pos: view.fdinfo.pos, inode_id: saveInode(view) }),
  restore({ inode_id, flags, pos }, at) {
    const inode = at.get(inodeOf, inode_id)
    if ((flags & O_PATH) !== 0) return openAnew(inode, flags, at)
    // Only the file that memfd_create gave can be written to and yet run (execveat): it goes to the first that could be it.
    const first = !inode.taken && (flags & O_ACCMODE) === O_RDWR
    const file = first ? inode.file : openAnew(inode, flags, at)
    if (first) inode.taken = true
    if (first || pos !== 0n) at.call('lseek', file, pos, SEEK_SET)
    return file
  },
  map({ inode_id }, flags, at) {
    const inode = at.get(inodeOf, inode_id)
    return (flags & O_ACCMODE) === O_RDWR ? inode.file : openAnew(inode, flags & O_ACCMODE, at)
  },
})
