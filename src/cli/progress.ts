// One line on the terminal for operations that last: stage, bytes, rate. Never to a log file or a pipe.
import { showProgress, type Progress } from '../base/progress.ts'
import { eachRun, now_ms } from '../base/run.ts'
import { scratch, sys } from '../linux/sys.ts'
import { isTerminal, STDERR, write } from './host.ts'

const SILENT_MS = 500
const BETWEEN_MS = 100
const TIOCGPGRP = 0x540f
const TIOCGWINSZ = 0x5413
const ERASE = '\r\x1b[K'
const UNITS = ['B', 'kB', 'MB', 'GB', 'TB']
const NARROW = 20

/** Bytes in decimal units with three digits, such as `12.3 MB`. */
export function human(bytes: number): string {
  let unit = 0
  let value = bytes
  while (value >= 999.5 && unit < UNITS.length - 1) {
    value /= 1000
    unit++
  }
  return `${unit === 0 || value >= 99.95 ? value.toFixed(0) : value >= 9.995 ? value.toFixed(1) : value.toFixed(2)} ${UNITS[unit]}`
}

/** The line for a stage that has lasted `ms`, cut to `columns`. */
export function progressLine(stage: string, done: number, total: number, ms: number, columns: number): string {
  const parts = [stage]
  if (done > 0 || total > 0) {
    parts.push(total > 0 ? `${human(done)} of ${human(total)} (${Math.floor((100 * done) / total)}%)` : human(done))
    if (done > 0 && ms > 0) parts.push(`${human((done / ms) * 1000)}/s`)
  }
  return parts.join('  ').slice(0, Math.max(NARROW, columns - 1))
}

class Line implements Progress {
  readonly #begun = now_ms()
  #stage = ''
  #stageBegun = this.#begun
  #done = 0
  #total = 0
  #drawn = 0
  #visible = false
  #ended = false

  stage(name: string): void {
    this.#stage = name
    this.#stageBegun = now_ms()
    this.#done = 0
    this.#total = 0
    this.#draw()
  }

  bytes(done: number, total: number): void {
    this.#done = done
    this.#total = total
    this.#draw()
  }

  end(): void {
    this.clear()
    this.#ended = true
  }

  /** Takes the line away, so that other text can be written; the next news draws it again. */
  clear(): void {
    if (this.#visible) write(STDERR, ERASE)
    this.#visible = false
    this.#drawn = 0
  }

  #draw(): void {
    const now = now_ms()
    if (this.#ended || now - this.#begun < SILENT_MS || now - this.#drawn < BETWEEN_MS || !inForeground()) return
    this.#drawn = now
    this.#visible = true
    write(STDERR, ERASE + progressLine(this.#stage, this.#done, this.#total, now - this.#stageBegun, columns()))
  }
}

/** What an ioctl of the terminal on stderr answers in `size` bytes. */
function ask(request: number, size: number): DataView | undefined {
  const mark = scratch.mark()
  try {
    const at = scratch.take(size)
    return sys('ioctl', STDERR, request, at) < 0 ? undefined : new DataView(scratch.at(at, size).slice().buffer)
  } finally {
    scratch.release(mark)
  }
}

/** Whether we may write without being stopped by SIGTTOU, which would hold a frozen tree for ever. */
const inForeground = (): boolean => ask(TIOCGPGRP, 4)?.getInt32(0, true) === sys('getpgrp')

const columns = (): number => ask(TIOCGWINSZ, 8)?.getUint16(2, true) || 80

const on: { line?: Line | undefined } = {}
eachRun(() => (on.line = undefined))

/** Shows the engine's progress, if stderr is a terminal. */
export function startProgress(): void {
  if (!isTerminal(STDERR)) return
  on.line = new Line()
  showProgress(on.line)
}

/** Makes room for other text on the terminal. */
export const clearProgress = (): void => on.line?.clear()
