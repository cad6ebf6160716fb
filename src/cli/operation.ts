// What dump and restore have in common around the engine: places, signals, progress, and the report of a failure.
import { asBardoError, render, renderLine, type BardoError } from '../base/errors.ts'
import { log } from '../base/log.ts'
import { progress } from '../base/progress.ts'
import { openPlaces, STDERR, write, type Place } from './host.ts'
import type { CommandLine } from './parse.ts'
import { clearProgress, startProgress } from './progress.ts'
import { noteSignals } from './signals.ts'

/** Every finding as a line of its own, in CRIU's form, so that what searches logs for errors finds each. */
export function logFailure(room: string, error: BardoError): void {
  for (const finding of error.findings.length > 0 ? error.findings : [error]) log.error(room, renderLine(finding))
}

/**
 * Runs `work` between opening the places and reporting the end; the exit status.
 * `failed` and `finished` are the last lines of the log, which people search for; work that goes on when its purpose is reached
 * calls `tellFinished`.
 */
export async function operation(
  line: CommandLine,
  program: string,
  texts: { readonly failed: string; readonly finished: string },
  work: (place: Place, tellFinished: () => void) => Promise<number>,
): Promise<number> {
  const room = line.command
  let isTold = false
  const tellFinished = (): void => {
    progress.end()
    if (!isTold) log.info(texts.finished)
    isTold = true
  }
  let place: Place | undefined
  try {
    place = openPlaces(line)
    noteSignals()
    startProgress()
    const status = await work(place, tellFinished)
    tellFinished()
    return status
  } catch (thrown) {
    progress.end()
    clearProgress()
    const error = asBardoError(thrown)
    // On one terminal both forms would say everything twice. Tools that call `criu` look for the lines of the log.
    const onlyLog = place?.logOnStderr === true && program === 'criu'
    if (onlyLog || place?.logOnStderr === false) {
      logFailure(room, error)
      log.error(room, texts.failed)
    }
    if (!onlyLog) write(STDERR, `${render(error)}\n`)
    return 1
  }
}
