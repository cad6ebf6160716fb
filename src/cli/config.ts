// Configuration files: long options without their dashes, one a line, `#` comments, values in double quotes when they
// hold blanks. Later files count more, the command line most.
import { BardoError } from '../base/errors.ts'
import { textOf } from '../base/bytes.ts'
import { AT_FDCWD, EACCES, ENOENT, ENOTDIR } from '../linux/constants.ts'
import { readFile } from '../linux/sys.ts'
import type { Found } from './getopt.ts'
import { OPTIONS, type Option } from './options.ts'
import { getopt } from './getopt.ts'
import type { Source } from './parse.ts'

const SYSTEM_FILE = '/etc/criu/default.conf'
const USER_FILE = '.criu/default.conf'

const malformed = (name: string, line: number, why: string): BardoError =>
  new BardoError('usage', `line ${line} of ${name} cannot be read`, {
    why,
    hint: 'write: OPTION, or OPTION VALUE, or OPTION "VALUE WITH BLANKS"',
  })

/** Skips blanks from `at`. */
function blanks(line: string, at: number): number {
  while (line[at] === ' ' || line[at] === '\t' || line[at] === '\r') at++
  return at
}

/** The value that begins at `from`, and where it ends. In quotes, `\"` is a quote; without, `#` ends it. */
function valueAt(line: string, from: number): { value: string; end: number } | undefined {
  let value = ''
  let at = from
  if (line[at] !== '"') {
    while (at < line.length && !' \t\r#'.includes(line[at]!)) value += line[at++]
    return { value, end: at }
  }
  for (at++; at < line.length; at++) {
    if (line[at] === '"') return { value, end: at + 1 }
    if (line[at] === '\\' && line[at + 1] === '"') at++
    value += line[at]
  }
  return undefined
}

/** The words, as a command line has them, that a configuration file says. Throws `usage` with the line's number. */
export function parseConfig(text: string, name: string): string[] {
  const words: string[] = []
  for (const [index, line] of text.split('\n').entries()) {
    const start = blanks(line, 0)
    if (start === line.length || line[start] === '#') continue
    let end = start
    while (end < line.length && !' \t\r'.includes(line[end]!)) end++
    words.push(`--${line.slice(start, end)}`)
    const from = blanks(line, end)
    if (from === line.length || line[from] === '#') continue
    const found = valueAt(line, from)
    if (found === undefined) throw malformed(name, index + 1, 'a quote is not closed')
    const after = blanks(line, found.end)
    if (after !== line.length && line[after] !== '#') throw malformed(name, index + 1, 'there is more than one value')
    // An option whose argument may be missing takes it only attached.
    const option = OPTIONS.find(each => each.long === line.slice(start, end))
    if (option?.takes === 'maybe') words.push(`${words.pop()!}=${found.value}`)
    else if (option?.takes === 'nothing') throw malformed(name, index + 1, `option ${option.long} takes no value`)
    else words.push(found.value)
  }
  return words
}

function load(name: string): Source | undefined {
  const bytes = readFile(AT_FDCWD, name, [ENOENT, ENOTDIR, EACCES])
  if (bytes === undefined) return undefined
  try {
    const { found, operands } = getopt(parseConfig(textOf(bytes), name), OPTIONS)
    if (operands.length > 0) throw new BardoError('usage', `'${operands[0]}' is not an option`, { hint: 'remove it' })
    return { name, found }
  } catch (thrown) {
    throw thrown instanceof BardoError && thrown.where === undefined ? thrown.about(name) : thrown
  }
}

/**
 * The configuration files that count for this command line, in the order in which they do:
 * /etc/criu/default.conf, $HOME/.criu/default.conf, $CRIU_CONFIG_FILE, --config. The last one keeps the first two out.
 */
export function configSources(
  own: readonly Found<Option>[],
  environment: Readonly<Record<string, string | undefined>>,
): { sources: Source[]; warnings: string[] } {
  const named = own.findLast(({ spec }) => spec.long === 'config')?.value
  const defaults = named === undefined && !own.some(({ spec }) => spec.long === 'no-default-config')
  const sources: Source[] = []
  const warnings: string[] = []
  const add = (name: string, wanted: boolean): void => {
    const source = load(name)
    if (source !== undefined) sources.push(source)
    else if (wanted) warnings.push(`configuration file ${name} cannot be opened`)
  }
  if (defaults) {
    add(SYSTEM_FILE, false)
    if (environment['HOME'] === undefined) warnings.push('HOME is not set: no configuration file of the user is read')
    else add(`${environment['HOME']}/${USER_FILE}`, false)
  }
  if (environment['CRIU_CONFIG_FILE']) add(environment['CRIU_CONFIG_FILE'], true)
  if (named !== undefined) add(named, true)
  return { sources, warnings }
}
