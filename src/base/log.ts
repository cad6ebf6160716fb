// The log that CRIU's users and tools read: runc and crun show the lines that contain `Error (`.
// Messages before `open` are kept and written then, since the work directory is known only after the options are.
// Where the bytes go is the caller's business: this file is below the system calls.

import { eachRun, now_ms } from './run.ts'

/** 0: nothing but messages, 1: errors, 2: warnings (CRIU's default), 3: informations, 4: debug. */
export type LogLevel = 0 | 1 | 2 | 3 | 4

/** Takes whole lines, each with its newline. */
export type Sink = (text: string) => void

type Text = string | (() => string)
type Line = { readonly level: LogLevel; readonly head: string; readonly text: string; readonly at: number }

const ERROR = 1
const WARN = 2
const INFO = 3
const DEBUG = 4

/** A log that is never opened (a crash while reading options) must not grow without end. */
const EARLY_LINES_MAX = 4096

function stamp(at: number): string {
  const us = Math.floor(at * 1000)
  const seconds = String(Math.floor(us / 1_000_000)).padStart(2, '0')
  return `(${seconds}.${String(us % 1_000_000).padStart(6, '0')}) `
}

class Log {
  #level: LogLevel = WARN
  #sink: Sink | undefined
  #stamped = true
  #early: Line[] = []
  #firstError: string | undefined

  get level(): LogLevel {
    return this.#level
  }

  setLevel(level: number): void {
    this.#level = Math.max(0, Math.min(DEBUG, Math.trunc(level))) as LogLevel
  }

  /** The text of the first error, which RPC clients get as `cr_errmsg`. */
  get firstError(): string | undefined {
    return this.#firstError
  }

  /**
   * Sends this and every later line to `sink`, after those that were kept.
   * Times are always in a file; on a terminal (`stamped: false`) only from level 3 on.
   */
  open(sink: Sink, { stamped = true }: { readonly stamped?: boolean } = {}): void {
    this.#sink = sink
    this.#stamped = stamped
    const early = this.#early
    this.#early = []
    for (const line of early) if (line.level <= this.#level) this.#write(line)
  }

  /** As at the start, so that the next lines are kept until `open`; for one process that serves many requests. */
  close(): void {
    this.#level = WARN
    this.#sink = undefined
    this.#stamped = true
    this.#early = []
    this.#firstError = undefined
  }

  /** `where` names the room, such as `kinds/fd/pipe`. */
  error(where: string, text: string): void {
    this.#firstError ??= text
    if (this.#level >= ERROR || this.#sink === undefined) this.#emit(ERROR, `Error (${where}): `, text)
  }

  warn(where: string, text: string): void {
    if (this.#level >= WARN || this.#sink === undefined) this.#emit(WARN, `Warn  (${where}): `, text)
  }

  info(text: Text): void {
    if (this.#level >= INFO || this.#sink === undefined) this.#emit(INFO, '', typeof text === 'string' ? text : text())
  }

  /** A function is called only when level 4 is on: say what takes time to put together so. */
  debug(text: Text): void {
    if (this.#level >= DEBUG) this.#emit(DEBUG, '', typeof text === 'string' ? text : text())
  }

  #emit(level: LogLevel, head: string, text: string): void {
    const line = { level, head, text, at: now_ms() }
    if (this.#sink !== undefined) this.#write(line)
    else if (this.#early.length < EARLY_LINES_MAX) this.#early.push(line)
  }

  #write({ head, text, at }: Line): void {
    const time = this.#stamped || this.#level >= INFO ? stamp(at) : ''
    // A name from the target may hold a newline: its second line must not look like a line of ours.
    this.#sink!(`${time}${head}${text.replaceAll('\n', '\\n')}\n`)
  }
}

export const log = new Log()
eachRun(() => log.close())
export type { Log }
