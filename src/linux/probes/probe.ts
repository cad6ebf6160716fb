// What a probe is, and the small words that probes are written in.
import { errnoName } from '../../base/errors.ts'
import { textOf } from '../../base/bytes.ts'
import { AT_FDCWD, EACCES, ENOENT } from '../constants.ts'
import type { CallName } from '../nr.ts'
import { OpenFile, readFile, sys, type Argument } from '../sys.ts'

/** Why a feature is not there, as an end of the sentence "NAME is not supported: …"; undefined when it is. */
export type Missing = string | undefined

export type Probe = {
  /** CRIU's name where it has one, so that scripts go on working. */
  readonly name: string
  /** What is tried. */
  readonly tests: string
  /** The first kernel that has it. */
  readonly since: string
  /** What cannot be done without it. */
  readonly without: string
  /**
   * `required` for everything that we do, `extra` for programs that use certain things (`check --extra`), `experimental`,
   * or `asked`: only told about when named.
   */
  readonly level: 'required' | 'extra' | 'experimental' | 'asked'
  /** Tries it, in less than a second, and leaves nothing behind. */
  readonly run: () => Missing
}

/** `call answered ERRNO`, for a negative result. */
export const answered = (name: CallName, result: number): string => `${name} answered ${errnoName(result)}`

/** Missing unless the call succeeds. */
export function succeeds(name: CallName, ...args: Argument[]): Missing {
  const result = sys(name, ...args)
  return result < 0 ? answered(name, result) : undefined
}

/** Missing unless the call fails with one of `errnos`: for calls that must not succeed, told apart by their refusal. */
export function failsWith(errnos: readonly number[], name: CallName, ...args: Argument[]): Missing {
  const result = sys(name, ...args)
  if (errnos.includes(-result)) return undefined
  return result < 0 ? answered(name, result) : `${name} succeeded`
}

/** Opens with a call that gives a descriptor, hands it on, and closes it again. */
export function withFd(use: (fd: number) => Missing, name: CallName, ...args: Argument[]): Missing {
  const fd = sys(name, ...args)
  if (fd < 0) return answered(name, fd)
  using file = new OpenFile(fd)
  return use(file.fd)
}

/** The text of a small file; undefined when it is not there or not for us. */
export function textFile(path: string): string | undefined {
  const bytes = readFile(AT_FDCWD, path, [ENOENT, EACCES])
  return bytes === undefined ? undefined : textOf(bytes)
}

/** Missing unless the file is there. */
export function exists(path: string): Missing {
  const result = sys('faccessat', AT_FDCWD, path, 0)
  return result < 0 ? `${path} is not there` : undefined
}

/** Missing unless a line of the text of `path` begins with `start`. */
export function hasLine(path: string, start: string): Missing {
  const text = textFile(path)
  if (text === undefined) return `${path} cannot be read`
  return text.split('\n').some(line => line.startsWith(start)) ? undefined : `${path} has no line "${start}"`
}
