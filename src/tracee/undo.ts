// Steps that put a task back as it was. One that fails must not keep those behind it from being done.
import { asBardoError, renderLine } from '../base/errors.ts'
import { log } from '../base/log.ts'

/**
 * Takes a step back, once more if it fails: what fails by chance (no memory for a moment) would leave a trace. Whether it
 * was done. What died meanwhile needs nothing back, so that a failure is no news but for the log.
 */
export function undo(what: string, step: () => void): boolean {
  for (let tries = 2; tries > 0; tries--) {
    try {
      step()
      return true
    } catch (thrown) {
      const error = asBardoError(thrown)
      log.debug(() => `${what} failed: ${renderLine(error)}`)
      if (error.code === 'lost') return false
    }
  }
  return false
}
