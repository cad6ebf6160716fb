// Paths of a restore: opened below its root, never created, never becoming our controlling terminal.
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  O_ACCMODE,
  O_APPEND,
  O_CLOEXEC,
  O_DIRECT,
  O_DIRECTORY,
  O_DSYNC,
  O_LARGEFILE,
  O_NOATIME,
  O_NOCTTY,
  O_NOFOLLOW,
  O_NONBLOCK,
  O_PATH,
  O_SYNC,
  RESOLVE_IN_ROOT,
} from '../../linux/constants.ts'
import { OpenFile, statOf, sys, type Stat } from '../../linux/sys.ts'
import type { FdPath, Slot } from '../../program/program.ts'
import type { Build, Maker } from '../kind.ts'

/** O_TMPFILE without O_DIRECTORY: such a file is made as a deleted one, and then opened like any other. */
const TMPFILE_BIT = 0o20000000
/**
 * What open takes, of what F_GETFL tells; other bits are the kernel's own, and openat2 would refuse them. O_ASYNC is
 * kept by open but does nothing then, and hinders F_SETFL from setting it: the core does that.
 */
const OPEN_FLAGS =
  O_ACCMODE |
  O_APPEND |
  O_NONBLOCK |
  O_DSYNC |
  O_SYNC |
  O_DIRECT |
  O_LARGEFILE |
  O_DIRECTORY |
  O_NOFOLLOW |
  O_NOATIME |
  O_PATH
const PATH_FLAGS = O_PATH | O_DIRECTORY | O_NOFOLLOW

/** The path by which an open file is opened anew. */
export const fdPath = (of: Slot<'fd'>): FdPath => ({ kind: 'fd-path', of })

/**
 * Open flags as an image has them, made safe: what creates, cuts or takes a terminal never comes from an image, and
 * everything of ours is closed when a program is run.
 */
export function openFlags(flags: number): number {
  if ((flags & O_PATH) !== 0) return (flags & PATH_FLAGS) | O_CLOEXEC
  const kept = (flags & TMPFILE_BIT) !== 0 ? flags & ~O_DIRECTORY : flags
  return (kept & OPEN_FLAGS) | O_NOCTTY | O_CLOEXEC
}

/** struct open_how. */
function openHow(flags: number, mode: number): Uint8Array {
  const how = new BigUint64Array([BigInt(flags >>> 0), BigInt(mode), BigInt(RESOLVE_IN_ROOT)])
  return new Uint8Array(how.buffer)
}

const root: Maker<string, Slot<'fd'>> = {
  name: 'root directory',
  make: (path, at) => at.open('openat', AT_FDCWD, path, O_PATH | O_DIRECTORY | O_CLOEXEC, 0),
}

/** Opens a path of the image, with flags of the image. Links inside it stay inside the root that the caller named. */
export function openPath(at: Build, path: string, flags: number): Slot<'fd'> {
  if (at.options.root === undefined) return at.open('openat', AT_FDCWD, path, openFlags(flags), 0)
  const how = openHow(openFlags(flags), 0)
  return at.open('openat2', at.get(root, at.options.root), path, at.memory(how), how.length)
}

/** What a path names on this host now, or `-errno`. The last link is not followed when `flags` would not follow it. */
export function statPath(rootPath: string | undefined, path: string, nofollow: boolean): Stat | number {
  const found = lookUp(rootPath, path, nofollow)
  if (typeof found === 'number') return found
  using file = found
  return statOf(file.fd, '', AT_EMPTY_PATH)
}

/** Opens a path with O_PATH, which does nothing to what it names; `-errno` if there is nothing. */
export function lookUp(rootPath: string | undefined, path: string, nofollow: boolean): OpenFile | number {
  const flags = O_PATH | O_CLOEXEC | (nofollow ? O_NOFOLLOW : 0)
  if (rootPath === undefined) {
    const fd = sys('openat', AT_FDCWD, path, flags)
    return fd < 0 ? fd : new OpenFile(fd)
  }
  const rootFd = sys('openat', AT_FDCWD, rootPath, O_PATH | O_DIRECTORY | O_CLOEXEC)
  if (rootFd < 0) return rootFd
  using base = new OpenFile(rootFd)
  const how = openHow(flags, 0)
  const fd = sys('openat2', base.fd, path, how, how.length)
  return fd < 0 ? fd : new OpenFile(fd)
}
