// From words to options: configuration files, then the command line, checked against the table and frozen.
import { BardoError, Report } from '../base/errors.ts'
import {
  externalKey,
  type CheckOptions,
  type DumpOptions,
  type External,
  type RestoreOptions,
} from '../base/options.ts'
import { parseExternal, parseInherited } from './external.ts'
import { closest, getopt, type Found } from './getopt.ts'
import { COMMANDS, OPTIONS, READY, type Command, type Option } from './options.ts'

/** Options as they were written, one source (the command line, or one file) after the other. */
export type Source = { readonly name: string; readonly found: readonly Found<Option>[] }

export type CommandLine = {
  readonly command: Command
  /** The words after the command, where it takes any. */
  readonly operands: readonly string[]
  readonly values: Values
  /** What the user should hear, though it stops nothing: warnings, and notes for the log. */
  readonly warnings: readonly string[]
  readonly notes: readonly string[]
  readonly verbosity: number
}

const DEFAULT_LEVEL = 2
const NUMBER_MAX = 0x7fffffff

function decimal(written: string, value: string): number {
  const number = /^[0-9]{1,10}$/.test(value) ? Number(value) : NaN
  if (!(number <= NUMBER_MAX))
    throw new BardoError('usage', `invalid argument for ${written}: ${value}`, { why: 'it is not a number' })
  return number
}

/** Bytes from `size` with K, M or G behind it, each 1024 times the one before. */
function bytes(written: string, value: string): number {
  const match = /^([0-9]{1,12})([kmg]?)b?$/i.exec(value)
  if (!match) {
    throw new BardoError('usage', `invalid argument for ${written}: ${value}`, {
      why: 'it is not a size',
      hint: 'write a number, with K, M or G behind it if you like',
    })
  }
  return Number(match[1]) * 1024 ** ['', 'k', 'm', 'g'].indexOf(match[2]!.toLowerCase())
}

/** `-v` adds one, `-vvv` three, `-v4` and `--verbosity=4` set the level. */
function verbosityAfter(level: number, { written, value }: Found<Option>): number {
  if (value === undefined) return level + 1
  // Written with one dash by mistake, in CRIU's own test suite too, where it happens to work.
  const number = /^(?:erbosity=)?([0-9]{1,3})$/.exec(value)
  if (number) return Number(number[1])
  if (/^v+$/.test(value)) return level + value.length + (written === '-v' ? 1 : 0)
  throw new BardoError('usage', `invalid argument for ${written}: ${value}`, {
    hint: 'write a level from 0 to 4, such as -v4, or several v, such as -vvvv',
  })
}

/** The last word on each option, and all words on those that may be given several times. */
export class Values {
  readonly #found = new Map<string, Found<Option>[]>()

  constructor(sources: readonly Source[]) {
    for (const { found } of sources)
      for (const each of found) this.#found.set(each.spec.long, [...(this.#found.get(each.spec.long) ?? []), each])
  }

  flag(long: string): boolean {
    const last = this.#found.get(long)?.at(-1)
    return last !== undefined && !last.negated
  }

  text(long: string): string | undefined {
    return this.#found.get(long)?.at(-1)?.value
  }

  texts(long: string): string[] {
    return (this.#found.get(long) ?? []).map(each => each.value ?? '')
  }

  number(long: string): number | undefined {
    const last = this.#found.get(long)?.at(-1)
    return last?.value === undefined ? undefined : decimal(last.written, last.value)
  }

  size(long: string): number | undefined {
    const last = this.#found.get(long)?.at(-1)
    return last?.value === undefined ? undefined : bytes(last.written, last.value)
  }

  /** The options in the order of their first appearance. */
  last(): Found<Option>[] {
    return [...this.#found.values()].map(each => each.at(-1)!)
  }
}

/** Refuses what the option's argument cannot be, whatever the command. */
function checkArgument({ spec, written, value, negated }: Found<Option>): void {
  if (negated || value === undefined) return
  if (spec.type === 'number') decimal(written, value)
  if (spec.type === 'size') bytes(written, value)
  if (spec.type === 'choice' && !spec.choices!.includes(value)) {
    throw new BardoError('usage', `invalid argument for ${written}: ${value}`, {
      hint: `write one of ${spec.choices!.join(', ')}`,
    })
  }
}

type Judgement = { readonly refusal?: BardoError; readonly warning?: string; readonly note?: string }

/** What is to be said about `found` in `command`. */
function judge({ spec, written, value, negated }: Found<Option>, command: Command): Judgement {
  const applies = spec.commands.includes(command)
  // Saying "no" to what is not done anyway is always carried out.
  if (negated || (spec.only !== undefined && value !== undefined && spec.only.includes(value))) return {}
  if (!applies) return { warning: `${written} has no effect on ${command}` }
  if (spec.hint !== undefined) {
    const what = `option ${written}${value === undefined ? '' : ` ${value}`} is not supported yet`
    return { refusal: new BardoError('unsupported', what, { hint: spec.hint }) }
  }
  return spec.harmless === undefined ? {} : { note: `${written} changes nothing: ${spec.harmless}` }
}

function commandOf(operands: readonly string[]): Command {
  const [word] = operands
  if (word === undefined) throw new BardoError('usage', 'command is required', { hint: `such as ${READY.join(', ')}` })
  if (Object.hasOwn(COMMANDS, word)) return word as Command
  const near = closest(word, Object.keys(COMMANDS))
  throw new BardoError('usage', `unknown command: ${word}`, {
    hint: near.length > 0 ? `did you mean ${near.join(' or ')}?` : `the commands are ${READY.join(', ')}`,
  })
}

/** Scans the words of the command line (without the program's name). */
export function scan(
  words: readonly string[],
  posixlyCorrect = false,
): { found: Found<Option>[]; operands: readonly string[] } {
  const { found, operands } = getopt(words, OPTIONS, { permute: !posixlyCorrect })
  return { found: [...found], operands }
}

/**
 * Puts the sources together and says what is to be done. Throws one error that tells every option that is refused.
 * @param files the configuration files' options, in the order in which they count; the command line comes last.
 */
export function commandLine(
  own: readonly Found<Option>[],
  operands: readonly string[],
  files: readonly Source[] = [],
): CommandLine {
  const sources = [...files, { name: 'command line', found: own }]
  const values = new Values(sources)
  const command = commandOf(operands)
  const rest = operands.slice(1)
  const report = new Report()
  const warnings: string[] = []
  const notes: string[] = []

  let level = DEFAULT_LEVEL
  for (const { name, found } of sources) {
    for (const each of found) {
      report.collect(() => {
        try {
          checkArgument(each)
          if (each.spec.type === 'verbosity') level = verbosityAfter(level, each)
        } catch (thrown) {
          throw thrown instanceof BardoError && name !== 'command line' ? thrown.about(name) : thrown
        }
      })
    }
  }
  for (const each of values.last()) {
    const { refusal, warning, note } = judge(each, command)
    if (refusal !== undefined) report.add(refusal)
    if (note !== undefined) notes.push(note)
    // A file serves all commands: only what was typed for this one deserves a warning.
    if (warning !== undefined && own.some(({ spec }) => spec === each.spec)) warnings.push(warning)
  }
  if (rest.length > 0 && !['swrk', 'cpuinfo', 'attach'].includes(command)) {
    report.add(
      new BardoError(
        'usage',
        `excessive parameter${rest.length > 1 ? 's' : ''} for command ${command}: ${rest.join(' ')}`,
        {
          hint: /^[0-9]+$/.test(rest[0]!) && command === 'dump' ? `did you mean -t ${rest[0]}?` : undefined,
        },
      ),
    )
  }
  report.throwIfAny('the command line cannot be carried out')
  return { command, operands: rest, values, warnings, notes, verbosity: Math.min(level, 4) }
}

export type Opened = Pick<DumpOptions, 'imagesDir' | 'imagesFd' | 'workDir' | 'workFd'>

/** Stands for the places while options are only checked. */
export const NOWHERE: Opened = { imagesDir: '', imagesFd: -1, workDir: '', workFd: -1 }

/** Every resource once, by its canonical name. */
function distinct(externals: readonly External[]): External[] {
  return [...new Map(externals.map(external => [externalKey(external), external])).values()]
}

function common(values: Values, { imagesDir, imagesFd, workDir, workFd }: Opened) {
  return {
    imagesDir,
    imagesFd,
    workDir,
    workFd,
    shellJob: values.flag('shell-job'),
    displayStats: values.flag('display-stats'),
    pidfile: values.text('pidfile'),
    ghostLimitBytes: values.size('ghost-limit') ?? 1 << 20,
    linkRemap: values.flag('link-remap'),
    evasiveDevices: values.flag('evasive-devices'),
    fileLocks: values.flag('file-locks'),
    tcpEstablished: values.flag('tcp-established'),
    tcpClose: values.flag('tcp-close'),
    fileValidation: values.text('file-validation') === 'filesize' ? 'filesize' : 'buildid',
    unprivileged: values.flag('unprivileged'),
  } as const
}

/** The options of `dump`, checked without any side effect: the places are opened afterwards (`opened`). */
export function dumpOptions({ values }: CommandLine, opened: Opened): DumpOptions {
  const pid = values.number('tree')
  if (pid === undefined || pid === 0)
    throw new BardoError('usage', 'dump needs the pid of the root of the tree', { hint: 'add -t PID' })
  const named = values.texts('external').map(each => parseExternal(each))
  const inherited = values.texts('inherit-fd').map(each => parseInherited(each, 'dump').resource)
  return Object.freeze({
    ...common(values, opened),
    pid,
    externals: Object.freeze(distinct([...named, ...inherited])),
    // Stopped is the stronger wish, since what was stopped can still be let go.
    finalState: values.flag('leave-stopped') ? 'stopped' : values.flag('leave-running') ? 'running' : 'dead',
    orphanPtsMaster: values.flag('orphan-pts-master'),
    timeoutSeconds: values.number('timeout') ?? 10,
  })
}

function terminalChoice(value: string | undefined): RestoreOptions['tty'] {
  if (value === undefined) return undefined
  if (value === 'new') return { kind: 'new' }
  const fd = /^fd:([0-9]+)$/.exec(value)
  if (fd) return { kind: 'fd', fd: decimal('--tty', fd[1]!) }
  if (value.startsWith('/')) return { kind: 'path', path: value }
  throw new BardoError('usage', `invalid argument for --tty: ${value}`, {
    hint: 'write an absolute path such as /dev/pts/3, a descriptor such as fd:3, or new',
  })
}

function handedTo(value: string | undefined): RestoreOptions['tty'] {
  const fd = /^fd:([0-9]+)$/.exec(value ?? '')
  return { kind: 'handed', to: fd ? decimal('--orphan-pts-master', fd[1]!) : value }
}

/** The options of `restore`, as `dumpOptions`. */
export function restoreOptions({ values }: CommandLine, opened: Opened): RestoreOptions {
  const detached = values.flag('restore-detached')
  const sibling = values.flag('restore-sibling')
  if (sibling && !detached) {
    throw new BardoError('usage', '--restore-sibling only makes sense with --restore-detached', {
      hint: 'add --restore-detached (-d)',
    })
  }
  const exitStatus = values.flag('exit-status')
  if (exitStatus && detached) {
    throw new BardoError('usage', '--exit-status makes no sense with --restore-detached', {
      why: 'a detached restore ends when the tree runs',
      hint: 'leave out one of them',
    })
  }
  const handed = values.flag('orphan-pts-master')
  if (handed && values.text('tty') !== undefined) {
    throw new BardoError('usage', '--tty and --orphan-pts-master both say what terminal the tree gets', {
      hint: 'leave out one of them',
    })
  }
  const inherited = values.texts('inherit-fd').map(each => parseInherited(each, 'restore'))
  const keys = inherited.map(({ key }) => key)
  const twice = keys.find((key, index) => keys.indexOf(key) !== index)
  if (twice !== undefined)
    throw new BardoError('usage', `two --inherit-fd options name ${twice}`, { hint: 'name it once' })
  return Object.freeze({
    ...common(values, opened),
    externals: Object.freeze(distinct(values.texts('external').map(each => parseExternal(each)))),
    finalState: values.flag('leave-stopped') ? 'stopped' : 'running',
    detached,
    sibling,
    inherited: Object.freeze(inherited),
    root: values.text('root'),
    skipFileRwxCheck: values.flag('skip-file-rwx-check'),
    explain: values.flag('explain'),
    tty: terminalChoice(values.text('tty')) ?? (handed ? handedTo(values.text('orphan-pts-master')) : undefined),
    terminal: undefined,
    keepWinsize: values.flag('keep-winsize'),
    exitStatus,
  })
}

export function checkOptions({ values }: CommandLine): CheckOptions {
  const all = values.flag('all')
  return Object.freeze({
    features: Object.freeze(values.texts('feature')),
    extra: all || values.flag('extra'),
    experimental: all || values.flag('experimental'),
  })
}
