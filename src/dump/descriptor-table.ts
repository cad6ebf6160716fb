// The descriptors of a process, read through its /proc folder and its pidfd, and what is to be asked of each.
import { textOf } from '../base/bytes.ts'
import { BardoError } from '../base/errors.ts'
import type { fown_entry } from '../image/messages/fown.ts'
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  EPERM,
  ESRCH,
  F_GETOWNER_UIDS,
  F_GETOWN_EX,
  F_GETSIG,
  O_CLOEXEC,
  O_DIRECTORY,
  O_PATH,
} from '../linux/constants.ts'
import { syscall } from '../linux/ffi.ts'
import { NR } from '../linux/nr.ts'
import { parseFdinfo, type Fdinfo } from '../linux/proc/fdinfo.ts'
import {
  must,
  OpenFile,
  readDirectory,
  readOnce,
  readLink,
  refusal,
  scratch,
  statOf,
  sys,
  type Stat,
} from '../linux/sys.ts'
import type { FileHolder } from './files.ts'

/** The owner of a description that signals nobody. */
export const NOBODY: fown_entry = { uid: 0, euid: 0, signum: 0, pid_type: 0, pid: 0 }

/** What an open file of ours is. */
export function statOfOurs(ours: number): Stat {
  const stat = statOf(ours, '', AT_EMPTY_PATH)
  if (typeof stat === 'number') throw refusal('newfstatat', stat, ours)
  return stat
}

/** Whom the description signals, by which signal; numbers as we see them. */
export function readOwner(ours: number, flags: number): fown_entry {
  if ((flags & O_PATH) !== 0) return NOBODY
  const signum = must('fcntl', ours, F_GETSIG)
  const mark = scratch.mark()
  try {
    const at = scratch.take(8)
    const { view } = scratch
    must('fcntl', ours, F_GETOWN_EX, at)
    const pid_type = view.getUint32(at - scratch.address, true)
    const pid = view.getInt32(at + 4 - scratch.address, true)
    if (pid === 0) return signum === 0 ? NOBODY : { ...NOBODY, signum }
    must('fcntl', ours, F_GETOWNER_UIDS, at)
    const [uid, euid] = [view.getUint32(at - scratch.address, true), view.getUint32(at + 4 - scratch.address, true)]
    return { uid, euid, signum, pid_type, pid }
  } finally {
    scratch.release(mark)
  }
}

export function mustReadLink(dirfd: number, path: string, pid: number): string {
  const link = readLink(dirfd, path)
  if (typeof link !== 'number') return textOf(link)
  if (link === -ESRCH) throw new BardoError('lost', `process ${pid} died while its files were read`)
  throw refusal('readlinkat', link, dirfd, path)
}

/** A link for a message: one that cannot be read must not hide the error that is to be told. */
export function linkText(pid: number, procLink: string): string {
  const link = readLink(AT_FDCWD, `/proc/${pid}/${procLink}`)
  return typeof link === 'number' ? '?' : textOf(link)
}

/** Opens what a link of /proc leads to, with O_PATH: that does nothing to devices and fifos. */
export function openLink(pid: number, procLink: string, link: string): OpenFile {
  const path = `/proc/${pid}/${procLink}`
  let fd = sys('openat', AT_FDCWD, path, O_PATH | O_CLOEXEC)
  // Links of map_files need a capability of the first user namespace; the path does as well where it leads there.
  if (fd === -EPERM && procLink.startsWith('map_files/')) fd = sys('openat', AT_FDCWD, link, O_PATH | O_CLOEXEC)
  if (fd >= 0) return new OpenFile(fd)
  throw new BardoError('refused', `cannot open the file`, {
    errno: fd,
    hint: fd === -EPERM ? 'mapped files are found by CAP_CHECKPOINT_RESTORE' : undefined,
  })
}

/** The descriptors of one task, through its /proc folder and its pidfd. */
export class DescriptorTable {
  readonly pid: number
  readonly #comm: string
  readonly #pidfd: number
  readonly #links: number
  readonly #infos: number

  constructor({ pid, comm }: FileHolder) {
    this.pid = pid
    this.#comm = comm
    this.#pidfd = must('pidfd_open', pid, 0)
    this.#links = must('openat', AT_FDCWD, `/proc/${pid}/fd`, O_DIRECTORY | O_CLOEXEC)
    this.#infos = must('openat', AT_FDCWD, `/proc/${pid}/fdinfo`, O_DIRECTORY | O_CLOEXEC)
  }

  numbers(): number[] {
    return readDirectory(this.#links, '.')
      .map(Number)
      .toSorted((a, b) => a - b)
  }

  /** A descriptor of ours for the same description. */
  copy(fd: number): OpenFile {
    const ours = syscall(NR.pidfd_getfd, this.#pidfd, fd, 0)
    if (ours >= 0) return new OpenFile(ours)
    if (ours === -ESRCH) throw new BardoError('lost', `process ${this.pid} died while its files were read`)
    throw new BardoError('refused', 'cannot copy the descriptor', {
      errno: ours,
      hint: ours === -EPERM ? 'run as root, or with CAP_SYS_PTRACE' : undefined,
    })
  }

  fdinfo(fd: number): Fdinfo {
    return parseFdinfo(readOnce(this.#infos, String(fd))!)
  }

  link(fd: number): string {
    return mustReadLink(this.#links, String(fd), this.pid)
  }

  placeOf(fd: number): string {
    return `pid ${this.pid} "${this.#comm}", fd ${fd} -> ${linkText(this.pid, `fd/${fd}`)}`
  }

  [Symbol.dispose](): void {
    syscall(NR.close, this.#pidfd)
    syscall(NR.close, this.#links)
    syscall(NR.close, this.#infos)
  }
}
