// The few things that a command needs of the system before and after the engine: output, places, the end.
import { BardoError } from '../base/errors.ts'
import { bytesOf, textOf } from '../base/bytes.ts'
import { log } from '../base/log.ts'
import { BARDO_VERSION, CRIU_VERSION } from '../base/version.ts'
import {
  AT_FDCWD,
  EAGAIN,
  EINTR,
  ENOENT,
  O_APPEND,
  O_CLOEXEC,
  O_CREAT,
  O_DIRECTORY,
  O_TRUNC,
  O_WRONLY,
} from '../linux/constants.ts'
import { scratch, sys } from '../linux/sys.ts'
import type { CommandLine, Opened } from './parse.ts'

export const STDOUT = 1
export const STDERR = 2

const TCGETS = 0x5401
const TERMIOS_SIZE = 64
const POLLOUT = 4
const UTSNAME_FIELD = 65
const PIECE = 64 << 10

/** Waits until `fd` takes more: our standard output may be a pipe that somebody made non-blocking. */
function awaitWritable(fd: number): void {
  const pollfd = new Uint8Array(8)
  const view = new DataView(pollfd.buffer)
  view.setInt32(0, fd, true)
  view.setInt16(4, POLLOUT, true)
  sys('poll', pollfd, 1, -1)
}

/** Writes all of `text`, as bytes. Errors end it silently: there is nowhere left to report them. */
export function write(fd: number, text: string): void {
  const bytes = bytesOf(text)
  for (let at = 0; at < bytes.length;) {
    const n = sys('write', fd, bytes.subarray(at, at + PIECE), Math.min(PIECE, bytes.length - at))
    if (n > 0) at += n
    else if (n === -EAGAIN) awaitWritable(fd)
    else if (n !== -EINTR) return
  }
}

export const print = (text: string): void => write(STDOUT, text)

/** Whether `fd` is a terminal. */
export function isTerminal(fd: number): boolean {
  return sys('ioctl', fd, TCGETS, new Uint8Array(TERMIOS_SIZE)) === 0
}

/**
 * Ends the process at once. The runtime's own exit would put back the terminal settings that it found at its start, over
 * those that a restore has just set for its tree.
 */
export function exit(status: number): never {
  for (;;) sys('exit_group', status)
}

/** What uname(2) says, field by field. */
function uname(): string[] {
  const mark = scratch.mark()
  try {
    const at = scratch.take(6 * UTSNAME_FIELD)
    sys('uname', at)
    return [0, 1, 2, 3, 4].map(index => {
      const field = scratch.at(at + index * UTSNAME_FIELD, UTSNAME_FIELD)
      return textOf(field.subarray(0, field.indexOf(0)))
    })
  } finally {
    scratch.release(mark)
  }
}

function openDirectory(path: string, what: string): number {
  const fd = sys('openat', AT_FDCWD, path, O_DIRECTORY | O_CLOEXEC)
  if (fd >= 0) return fd
  throw new BardoError('refused', `cannot open the ${what} ${path}`, {
    errno: -fd,
    hint: fd === -ENOENT ? 'name a directory that exists' : undefined,
  })
}

export type Place = Opened & {
  /** The log goes to the standard error, where reports go too. */
  readonly logOnStderr: boolean
}

/** Opens the log that the command line names; true when it is the standard error. */
function openLog(file: string | undefined): boolean {
  if (file === undefined || file === '-') {
    const fd = file === undefined ? STDERR : STDOUT
    log.open(text => write(fd, text), { stamped: false })
    return fd === STDERR
  }
  // In place, never by a rename: podman makes the file beforehand, with the label that the container may write to.
  const fd = sys('openat', AT_FDCWD, file, O_CREAT | O_TRUNC | O_APPEND | O_WRONLY | O_CLOEXEC, 0o600)
  if (fd < 0) throw new BardoError('refused', `cannot create the log file ${file}`, { errno: -fd })
  log.open(text => write(fd, text))
  return false
}

/** Opens the image directory, moves to the work directory, and opens the log there, as CRIU does and in its order. */
export function openPlaces({ values, verbosity, warnings, notes }: CommandLine): Place {
  for (const fd of values.texts('close')) sys('close', Number(fd))
  const imagesDir = values.text('images-dir') ?? '.'
  const workDir = values.text('work-dir') ?? imagesDir
  const imagesFd = openDirectory(imagesDir, 'image directory')
  const workFd = openDirectory(workDir, 'work directory')
  const moved = sys('fchdir', workFd)
  if (moved < 0) throw new BardoError('refused', `cannot change to the work directory ${workDir}`, { errno: -moved })
  log.setLevel(verbosity)
  const logOnStderr = openLog(values.text('log-file'))
  const [sysname, nodename, release, version, machine] = uname()
  log.info(`Version: ${CRIU_VERSION} (gitid bardo-${BARDO_VERSION})`)
  log.info(`Running on ${nodename} ${sysname} ${release} ${version} ${machine}`)
  for (const note of notes) log.info(note)
  for (const warning of warnings) log.warn('cli', warning)
  return { imagesDir, imagesFd, workDir, workFd, logOnStderr }
}
