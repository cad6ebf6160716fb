// Files that are found by a path: regular files, directories, devices that keep no state. What was deleted while open
// is in ghost.ts; terminals are a kind of their own.
import { BardoError, errnoText } from '../../base/errors.ts'
import type { External } from '../../base/options.ts'
import { externalKey } from '../../base/options.ts'
import { reg_file_entry } from '../../image/messages/regular.ts'
import {
  AT_FDCWD,
  AT_SYMLINK_NOFOLLOW,
  ENOENT,
  ENOTDIR,
  O_ACCMODE,
  O_APPEND,
  O_NOFOLLOW,
  O_PATH,
  O_WRONLY,
  PROC_SUPER_MAGIC,
  SEEK_SET,
  S_IFBLK,
  S_IFCHR,
  S_IFDIR,
  S_IFIFO,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
  S_IFSOCK,
} from '../../linux/constants.ts'
import { major, minor, must, scratch, statOf, type Stat } from '../../linux/sys.ts'
import type { Slot } from '../../program/program.ts'
import { fileKind, type Build, type FileView, type Limit, type Maker } from '../kind.ts'
import { buildIdText } from './build-id.ts'
import { buildIdOfFile, openToRead } from './contents.ts'
import { ghostKind, ghostTooLarge, openGhost, saveGhost } from './ghost.ts'
import { fdPath, lookUp, openFlags, openPath, statPath } from './path.ts'

const deviceState: Limit = {
  id: 'device-state',
  says: 'a device that keeps state of its own is not supported',
  why: 'opening it again would not give the same state',
  hint: 'close it before the dump',
}

const nameless: Limit = {
  id: 'file-without-path',
  says: 'a file without a path is not supported',
  hint: 'close it before the dump',
}

const lostName: Limit = {
  id: 'file-lost-its-name',
  says: 'a file that its path does not lead to any more is not supported',
  hint: 'put the file back under that path, or close it, before the dump',
}

const procOfProcess: Limit = {
  id: 'proc-of-process',
  says: 'an open file of /proc that belongs to a process is not supported',
  hint: 'close it before the dump',
}

/** What /proc appends to the path of a file that has none any more. */
const DELETED = ' (deleted)'
/** null, zero, full, random, urandom, kmsg, mem: opening them again is as good. */
const MEM_MAJOR = 1
const KMSG_MINOR = 11
const PTS_MAJORS = { first: 136, last: 143 }
const NO_POSITION = 0xffff_ffff_ffff_ffffn

const stripped = (link: string): string => (link.endsWith(DELETED) ? link.slice(0, -DELETED.length) : link)

export function fileSystemOf(fd: number): number {
  const mark = scratch.mark()
  const at = scratch.take(120)
  must('fstatfs', fd, at)
  const type = scratch.view.getUint32(at - scratch.address, true)
  scratch.release(mark)
  return type
}

/**
 * The path by which the file can be opened again; a deleted file is saved on the way. Refuses what no path leads to.
 */
function pathOf(view: FileView): string {
  const { link, stat } = view
  if (!link.startsWith('/')) view.refuse(nameless)
  const type = stat.mode & S_IFMT
  if (fileSystemOf(view.ours) === PROC_SUPER_MAGIC) {
    if (/^\/proc\/\d/.test(link)) view.refuse(procOfProcess)
    // Other files of /proc are there on every host, with other numbers each time.
    return link
  }
  if (type === S_IFCHR) {
    const number = major(stat.rdev)
    // The kernel makes the slaves of ptys: the name comes back with the pair, wherever that is.
    if (number >= PTS_MAJORS.first && number <= PTS_MAJORS.last) return stripped(link)
  }
  if (stat.nlink === 0) {
    saveGhost(view)
    return stripped(link)
  }
  const there = statOf(AT_FDCWD, link, type === S_IFLNK ? AT_SYMLINK_NOFOLLOW : 0)
  if (typeof there === 'number') return view.refuse(lostName, `${link}: ${errnoText(-there)}`)
  if (there.ino === stat.ino && there.dev === stat.dev) return link
  if (view.options.evasiveDevices && (type === S_IFCHR || type === S_IFBLK) && there.rdev === stat.rdev) return link
  return view.refuse(lostName, `${link} is another file now`)
}

/** A file that is only appended to, a log, may grow between dump and restore. */
const isLog = (flags: number): boolean => (flags & O_ACCMODE) === O_WRONLY && (flags & O_APPEND) !== 0

/** By what the file is known at the restore. */
function marksOf(view: FileView): { size?: bigint; build_id: number[] } {
  const { stat, flags } = view
  if ((stat.mode & S_IFMT) !== S_IFREG || isLog(flags)) return { build_id: [] }
  const size = BigInt(stat.size)
  if (view.options.fileValidation !== 'buildid' || stat.size < 5) return { size, build_id: [] }
  using file = openToRead(view.ours)
  return { size, build_id: buildIdOfFile(file.fd, stat.size) }
}

const externalFile = (view: FileView): External => ({
  kind: 'file',
  mnt_id: view.fdinfo.mnt_id,
  ino: BigInt(view.stat.ino),
})

/** The state of a file that is found by a path: of kind REG, and beside files of other kinds that have a path too. */
export function stateOfNamed(view: FileView): Omit<reg_file_entry, 'id' | 'flags' | 'fown'> {
  const { stat } = view
  const external = externalFile(view)
  const pos = view.fdinfo.pos
  if (view.isExternal(external))
    return { pos, name: externalKey(external), ext: true, mode: stat.mode, ...marksOf(view) }
  const name = pathOf(view)
  return { pos, name, mode: stat.mode, ...marksOf(view) }
}

const FILE_NAME = /^file\[([0-9a-f]+):([0-9a-f]+)\]$/

/** A descriptor that the caller gave for this file, by its external name or by its path. */
function inheritedFor(state: reg_file_entry, at: Build): Slot<'fd'> | undefined {
  if (state.ext !== true) return at.inherited({ kind: 'path', path: state.name.replace(/^\/+/, '') })
  const numbers = FILE_NAME.exec(state.name)
  if (numbers === null) throw new BardoError('bad-image', `an external file is named ${state.name}`)
  const found = at.inherited({ kind: 'file', mnt_id: parseInt(numbers[1]!, 16), ino: BigInt(`0x${numbers[2]}`) })
  if (found !== undefined) return found
  throw new BardoError('refused', `cannot restore ${state.name}: it was left outside at the dump`, {
    hint: `give a file for it: --inherit-fd 'fd[N]:${state.name}'`,
  })
}

const typeNames: Record<number, string> = {
  [S_IFREG]: 'a regular file',
  [S_IFDIR]: 'a directory',
  [S_IFCHR]: 'a character device',
  [S_IFBLK]: 'a block device',
  [S_IFIFO]: 'a fifo',
  [S_IFLNK]: 'a symbolic link',
  [S_IFSOCK]: 'a socket',
}
const typeName = (mode: number): string => typeNames[mode & S_IFMT] ?? `of type ${(mode & S_IFMT).toString(8)}`
const octal = (mode: number): string => `0${(mode & 0o7777).toString(8)}`

function changed(state: reg_file_entry, how: string, hint: string): BardoError {
  return new BardoError('refused', `cannot restore ${state.name}: ${how}`, { hint })
}

/** Holds what is there now against what was there, without doing anything to it. Throws the first difference. */
function checkFile(state: reg_file_entry, at: Build): void {
  const { root, fileValidation, skipFileRwxCheck } = at.options
  if (!state.name.startsWith('/') || state.name.includes('\0'))
    throw new BardoError('bad-image', `file ${state.id} has the path ${JSON.stringify(state.name)}, which is none`)
  const stat = statPath(root, state.name, (state.flags & O_NOFOLLOW) !== 0)
  if (typeof stat === 'number') throw missing(state, root, -stat)
  const { mode } = state
  const isFile = (stat.mode & S_IFMT) === S_IFREG
  if (mode !== undefined && (mode & S_IFMT) !== (stat.mode & S_IFMT))
    throw changed(
      state,
      `it is ${typeName(stat.mode)} and was ${typeName(mode)}`,
      'put back what was there at the dump',
    )
  if (state.size !== undefined && isFile && BigInt(stat.size) !== state.size)
    throw changed(state, `it has ${stat.size} bytes and had ${state.size}`, 'put back the file of the dump')
  if (fileValidation === 'buildid' && isFile && state.build_id.length > 0) checkBuildId(state, stat, root)
  const ignored = skipFileRwxCheck ? 0o777 : 0
  if (mode !== undefined && ((mode ^ stat.mode) & 0o7777 & ~ignored) !== 0)
    throw changed(
      state,
      `its mode is ${octal(stat.mode)} and was ${octal(mode)}`,
      'set it back with chmod, or restore with --skip-file-rwx-check',
    )
}

function missing(state: reg_file_entry, root: string | undefined, errno: number): BardoError {
  const absent = errno === ENOENT || errno === ENOTDIR
  return new BardoError(
    'refused',
    `cannot restore ${state.name}: ${absent ? 'it does not exist' : 'it cannot be reached'}`,
    {
      errno: absent ? undefined : errno,
      why: root === undefined ? undefined : `paths are looked up below ${root} (--root)`,
      hint: 'restore where the files of the dump are',
    },
  )
}

function checkBuildId(state: reg_file_entry, stat: Stat, root: string | undefined): void {
  const found = lookUp(root, state.name, false)
  if (typeof found === 'number') throw missing(state, root, -found)
  using place = found
  using file = openToRead(place.fd)
  const now = buildIdOfFile(file.fd, stat.size)
  if (now.length === 0 || (now.length === state.build_id.length && now.every((word, i) => word === state.build_id[i])))
    return
  throw changed(
    state,
    `it has build id ${buildIdText(now)} and had ${buildIdText(state.build_id)}`,
    'put back the program or library of the dump: its memory in the image fits no other',
  )
}

/** Files that were checked already: one file may be open, mapped and a program at once. */
const checked: Maker<0, Set<number>> = { name: 'checked files', make: () => new Set() }

/**
 * Opens the file of a REG state with these flags, at its beginning: a descriptor, a mapping, a program's file. A
 * mapping may need other flags than the state has.
 */
export function openNamed(state: reg_file_entry, flags: number, at: Build): Slot<'fd'> {
  const given = inheritedFor(state, at)
  // What is external by its number is opened anew, as CRIU does; what replaces a path is the caller's own description.
  if (given !== undefined)
    return state.ext === true ? at.open('openat', AT_FDCWD, fdPath(given), openFlags(flags), 0) : given
  const ghost = openGhost(state.id, state.name, flags, at)
  if (ghost !== undefined) return ghost
  const done = at.get(checked, 0)
  if (!done.has(state.id)) {
    checkFile(state, at)
    done.add(state.id)
  }
  return openPath(at, state.name, flags)
}

export const regular = fileKind({
  name: 'file',
  type: 'REG',
  field: 'reg',
  image: reg_file_entry,
  matches: { mode: [S_IFREG, S_IFDIR, S_IFCHR, S_IFBLK, S_IFLNK] },
  limits: [deviceState, nameless, lostName, procOfProcess, ghostKind, ghostTooLarge],
  opensWithFlags: true,
  dump(view) {
    const { mode, rdev } = view.stat
    const device = (mode & S_IFMT) === S_IFCHR && (view.flags & O_PATH) === 0
    if (device && major(rdev) !== MEM_MAJOR && !view.isExternal(externalFile(view)))
      view.refuse(deviceState, `it is device ${major(rdev)}:${minor(rdev)}`)
    const state = stateOfNamed(view)
    // A kmsg that is only written to cannot be positioned.
    const unpositioned = device && minor(rdev) === KMSG_MINOR && (view.flags & O_ACCMODE) === O_WRONLY
    return unpositioned ? { ...state, pos: NO_POSITION } : state
  },
  restore(state, at) {
    const file = openNamed(state, state.flags, at)
    const given = state.ext !== true && inheritedFor(state, at) !== undefined
    if (!given && (state.flags & O_PATH) === 0 && state.pos !== 0n && state.pos !== NO_POSITION)
      at.call('lseek', file, state.pos, SEEK_SET)
    return file
  },
})
