// The help text, made from the option table.
import { BARDO_VERSION, CRIU_VERSION } from '../base/version.ts'
import { COMMANDS, GROUPS, OPTIONS, READY, type Option } from './options.ts'

const TEXT_AT = 28
const WIDTH = 100

/** `text` in lines of at most `width` letters. */
function wrap(text: string, width: number): string[] {
  const lines: string[] = []
  let line = ''
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line)
      line = word
    } else line = line === '' ? word : `${line} ${word}`
  }
  return [...lines, line]
}

/** What stands on the left of an option's line, such as `-t, --tree PID`. */
export function synopsis({ short, long, takes, arg }: Option): string {
  const names = `${short === undefined ? '    ' : `-${short}, `}--${long}`
  if (takes === 'maybe') return `${names}${arg!.replace('[', '[=')}`
  return takes === 'value' ? `${names} ${arg}` : names
}

function entry(option: Option): string[] {
  const left = `  ${synopsis(option)}`
  const more = [
    option.default === undefined ? '' : ` (default: ${option.default})`,
    option.hint === undefined || option.doc.startsWith('gone')
      ? ''
      : ` (not yet${option.only === undefined ? '' : `, but for ${option.only.join(', ')}`})`,
  ].join('')
  const text = wrap(option.doc + more, WIDTH - TEXT_AT)
  const lines = text.map(line => ' '.repeat(TEXT_AT) + line)
  if (left.length >= TEXT_AT - 1) return [left, ...lines]
  return [left.padEnd(TEXT_AT) + text[0]!, ...lines.slice(1)]
}

/** A few lines, for a wrong command line. */
export function usage(program: string): string {
  return `${[
    'Usage:',
    `  ${program} dump -t PID [OPTION...]`,
    `  ${program} restore [OPTION...]`,
    `  ${program} check [--feature NAME]`,
    ...(program === 'bardo' ? [`  ${program} attach [PID]`] : []),
  ].join('\n')}\n`
}

/** The whole help text of `program`, which is `bardo` or `criu`. */
export function help(program: string): string {
  const commands = Object.entries(COMMANDS)
    .filter(([name]) => name !== 'attach' || program === 'bardo')
    .map(([name, doc]) => {
      const note = (READY as readonly string[]).includes(name) || doc.startsWith('gone') ? '' : ' (not yet)'
      return `  ${name.padEnd(14)}${doc}${note}`
    })
  const lines = [usage(program), 'Commands:', ...commands, '']
  for (const [group, title] of Object.entries(GROUPS)) {
    lines.push(`${title}:`)
    for (const option of OPTIONS)
      if (option.group === group && !(option.ours && program === 'criu')) lines.push(...entry(option))
    lines.push('')
  }
  lines.push('An option without an argument is negated by --no-NAME where that makes sense. Names may be shortened.')
  return `${lines.join('\n')}\n`
}

/** The answer to --version. Its first line is compared by tools, whatever we are called. */
export function version(program: string): string {
  return `Version: ${CRIU_VERSION}\n${program === 'criu' ? '' : `Bardo: ${BARDO_VERSION}\n`}`
}
