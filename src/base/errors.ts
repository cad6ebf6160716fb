// The one error class, and the report that gathers many findings into one failure (docs/errors.md).
// A thrower states the action, the reason and what to do; the frame that knows the place adds it with `about`.
import { errnoName, errnoText } from './errno.ts'

export { errnoName, errnoNumber, errnoText } from './errno.ts'

/**
 * What went wrong, as a closed set:
 * `unsupported` (we do not carry this over), `refused` (the kernel said no), `bad-image`, `lost` (the target died),
 * `not-permitted` (the caller may not), `usage` (a wrong command line), `bug` (ours; asks for a report).
 */
export type ErrorCode = 'unsupported' | 'refused' | 'bad-image' | 'lost' | 'not-permitted' | 'usage' | 'bug'

/** The optional parts of an error; `errno` is positive or negative as it came, and kept positive. */
export type ErrorParts = {
  /** The object, such as `pid 4312 "postgres", fd 7 -> pipe:[81123]`. */
  readonly where?: string | undefined
  /** The reason behind `what`, one sentence without a full stop. */
  readonly why?: string | undefined
  /** What the user can do, one sentence without a full stop. */
  readonly hint?: string | undefined
  readonly errno?: number | undefined
  /** All that was found, when this one error stands for many. */
  readonly findings?: readonly BardoError[] | undefined
}

export class BardoError extends Error {
  readonly code: ErrorCode
  readonly what: string
  where: string | undefined
  readonly why: string | undefined
  readonly hint: string | undefined
  readonly errno: number | undefined
  readonly findings: readonly BardoError[]

  constructor(code: ErrorCode, what: string, parts: ErrorParts = {}) {
    super(what)
    this.name = 'BardoError'
    this.code = code
    this.what = what
    this.where = parts.where
    this.why = parts.why
    this.hint = parts.hint
    this.errno = parts.errno === undefined ? undefined : Math.abs(parts.errno)
    this.findings = parts.findings ?? []
  }

  /** Adds an outer place, unless the thrower knew a better one: inner places win, outer ones are put before them. */
  about(place: string): this {
    this.where = this.where === undefined ? place : `${place}, ${this.where}`
    return this
  }
}

/** Any thrown value as a BardoError: what is not one is a bug of ours, and keeps its stack as the reason. */
export function asBardoError(thrown: unknown): BardoError {
  if (thrown instanceof BardoError) return thrown
  const text = thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown)
  const lines = text.split('\n').map(line => line.trim())
  return new BardoError('bug', lines[0] || 'unknown failure', {
    why: lines.slice(1, 5).join('; ') || undefined,
    hint: 'this is a bug of Bardo: please report it with the log of -v4',
  })
}

/**
 * Collects findings, so that a failure tells all of them and not the first.
 * Findings equal in text are kept once: a limit that a thousand tasks share is one line of news.
 */
export class Report {
  readonly findings: BardoError[] = []
  /** The texts of the findings: a hostile image, or a large tree, can have a hundred thousand. */
  readonly #known = new Set<string>()

  add(finding: BardoError): void {
    const parts = finding.findings.length > 0 ? finding.findings : [finding]
    for (const part of parts) {
      const text = part.where === undefined ? part.what : `${part.what}\0${part.where}`
      if (this.#known.has(text)) continue
      this.#known.add(text)
      this.findings.push(part)
    }
  }

  /** Runs `step`; a BardoError that it throws becomes a finding, anything else goes on up. */
  collect<T>(step: () => T): T | undefined {
    try {
      return step()
    } catch (thrown) {
      // A dead target or a bug ends the operation: what would be found after it is not news about the target.
      if (!(thrown instanceof BardoError) || thrown.code === 'lost' || thrown.code === 'bug') throw thrown
      this.add(thrown)
      return undefined
    }
  }

  get empty(): boolean {
    return this.findings.length === 0
  }

  /** Throws what was found, if anything: one finding as itself, several as one error that carries them. */
  throwIfAny(what: string): void {
    if (this.findings.length === 0) return
    if (this.findings.length === 1) throw this.findings[0]!
    const code = this.findings.every(finding => finding.code === this.findings[0]!.code)
      ? this.findings[0]!.code
      : 'unsupported'
    throw new BardoError(code, `${what}: ${this.findings.length} reasons`, { findings: [...this.findings] })
  }
}

/** The kernel's answer in words, unless the text names it already: ` (EPERM: operation not permitted)`. */
function answer(error: BardoError): string {
  if (error.errno === undefined) return ''
  const name = errnoName(error.errno)
  if (error.what.includes(name) || error.why?.includes(name)) return ''
  const text = errnoText(error.errno)
  return text === '' ? ` (${name})` : ` (${name}: ${text})`
}

/** One error on one line, as the log wants it: `what (EPERM: …): why; do: hint`. */
export function renderLine(error: BardoError): string {
  const why = error.why === undefined ? '' : `: ${error.why}`
  const where = error.where === undefined ? '' : `; where: ${error.where}`
  const hint = error.hint === undefined ? '' : `; do: ${error.hint}`
  return `${error.what}${answer(error)}${why}${where}${hint}`.replaceAll('\n', ' ')
}

/** The report of one failure for a human, several lines without a final newline; every finding has its own block. */
export function render(error: BardoError): string {
  const lines = [`Error: ${error.what}${answer(error)}`]
  if (error.where !== undefined) lines.push(`  where  ${error.where}`)
  if (error.why !== undefined) lines.push(`  why    ${error.why}`)
  if (error.hint !== undefined) lines.push(`  do     ${error.hint}`)
  for (const finding of error.findings) lines.push(render(finding))
  return lines.join('\n')
}
