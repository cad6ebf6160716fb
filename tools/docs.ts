// Writes the pages of docs/ that are made from the source: limits.md and image.md (`tools/bun tools/docs.ts`).
// test/docs.test.ts holds them current.
import { readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { COMMANDS, OPTIONS, READY } from '../src/cli/options.ts'
import { fileLimits } from '../src/dump/files.ts'
import { imageFiles, rawFiles, type ImageFile } from '../src/image/files.ts'
import { nameOfEnumeration, type Enumeration, type Field, type Message } from '../src/image/words.ts'
import { fileKinds, notYet } from '../src/kinds/fd/index.ts'
import type { Limit } from '../src/kinds/kind.ts'
import { terminalLimits } from '../src/restore/terminal-limits.ts'

const root = dirname(import.meta.dir)
const NOTICE = '<!-- Made by tools/docs.ts from the source: do not edit. -->'

const cell = (text: string): string => text.replaceAll('|', '\\|')
const row = (...cells: readonly string[]): string => `| ${cells.map(cell).join(' | ')} |`
const table = (head: readonly string[], rows: readonly (readonly string[])[]): string[] => [
  row(...head),
  row(...head.map(() => '---')),
  ...rows.map(cells => row(...cells)),
  '',
]

// ---- limits.md

type Refusal = { readonly says: string; readonly hint: string }

/**
 * Of a literal in the source: what it says, with an ellipsis where a value comes in; undefined for one that says nothing
 * but values, which are then limits of kinds, or that has others inside.
 */
function textOfLiteral(literal: string): string | undefined {
  const said = literal
    .slice(1, -1)
    .replaceAll("\\'", "'")
    .replace(/\$\{[^}]*\}/g, '…')
  const own = said.replace(/^cannot \w+ (the )?\w*:?/, '')
  return said.includes('${') || !/[a-z]{3}/.test(own) ? undefined : said
}

const LITERAL = "('(?:[^'\\\\]|\\\\.)*'|`[^`]*`)"
const THROWN = new RegExp(`new BardoError\\(\\s*'unsupported',\\s*${LITERAL}([^]{0,400})`, 'g')
const HINT = new RegExp(`\\bhint: ${LITERAL}`)
const MEMORY = new RegExp(`\\brefuse\\(mapping, ${LITERAL},\\s*${LITERAL}\\)`, 'g')

/** What is refused in so many words: not by a limit of a kind, but where it is found. */
function refusalsIn(text: string): Refusal[] {
  const found: Refusal[] = []
  for (const [, literal, rest] of text.matchAll(THROWN)) {
    const says = textOfLiteral(literal!)
    // The hint of this error, not of the next.
    const own = rest!.split(/new BardoError\(|^}/m)[0]!
    const hint = HINT.exec(own)?.[1]
    if (says !== undefined) found.push({ says, hint: hint === undefined ? '' : (textOfLiteral(hint) ?? '') })
  }
  for (const [, says, hint] of text.matchAll(MEMORY))
    found.push({ says: `memory: ${textOfLiteral(says!)}`, hint: textOfLiteral(hint!) ?? '' })
  return found
}

function refusalsBelow(rooms: readonly string[]): Refusal[] {
  const all = new Map<string, Refusal>()
  for (const room of rooms)
    for (const name of readdirSync(join(root, 'src', room), { recursive: true, encoding: 'utf8' }).toSorted()) {
      if (!name.endsWith('.ts') || name.endsWith('.test.ts')) continue
      for (const refusal of refusalsIn(readFileSync(join(root, 'src', room, name), 'utf8')))
        all.set(refusal.says, all.get(refusal.says) ?? refusal)
    }
  return [...all.values()]
}

const limitRows = (limits: readonly Limit[]): string[][] =>
  limits.map(({ id, says, why, hint }) => [`\`${id}\``, says + (why === undefined ? '' : ` (${why})`), hint ?? ''])

const nameOfOption = ({ long, short, arg }: (typeof OPTIONS)[number]): string =>
  `\`--${long}${arg === undefined ? '' : ` ${arg}`}\`${short === undefined ? '' : `, \`-${short}\``}`

export function limitsPage(): string {
  const ofKinds = new Map(fileKinds.map(kind => [kind.name, kind.limits]))
  const listed = new Set<string>()
  const lines = [
    NOTICE,
    '',
    '# What is not carried over',
    '',
    'Bardo refuses what it cannot carry over, by name, and all of it at once: before a page is written by a dump, and',
    'before a process exists in a restore. A refused dump leaves its processes running as before.',
    '',
    '## Open files',
    '',
    'The ids are stable.',
    '',
  ]
  const head = ['id', 'what', 'what to do']
  const add = (title: string, limits: readonly Limit[]): void => {
    const fresh = limits.filter(({ id }) => !listed.has(id))
    for (const { id } of fresh) listed.add(id)
    if (fresh.length > 0) lines.push(`### ${title}`, '', ...table(head, limitRows(fresh)))
  }
  add('Of any kind', fileLimits)
  for (const [name, limits] of ofKinds) add(`Kind \`${name}\``, limits)
  for (const { name, losses } of fileKinds)
    if (losses !== undefined)
      lines.push(
        `### Lost without a refusal: kind \`${name}\``,
        '',
        ...table(
          ['what', 'what becomes of it'],
          losses.map(({ what, how }) => [what, how]),
        ),
      )
  add('Kinds that come later', notYet)
  lines.push(
    '## Moving to another terminal',
    '',
    '[How it is done](terminals.md). Nothing of this fails a restore. What does: `--tty` with something that is no terminal, or',
    'the master of one; a terminal from outside that nothing is given for; a directory for keepers that is not private. Each',
    'is found before a process exists, and says what to write.',
    '',
    ...table(head, limitRows(terminalLimits)),
    '## Processes, memory and namespaces',
    '',
    'An ellipsis stands for a value that the message has.',
    '',
    '### When a tree is dumped',
    '',
    ...table(
      ['what', 'what to do'],
      refusalsBelow(['tracee', 'dump', 'kinds/mem', 'kinds/task']).map(({ says, hint }) => [says, hint]),
    ),
    '### When an image is restored',
    '',
    ...table(
      ['what', 'what to do'],
      refusalsBelow(['restore', 'program', 'kinds/fd', 'kinds/tty']).map(({ says, hint }) => [says, hint]),
    ),
    '## What a SIGKILL can leave',
    '',
    'A dump that is killed leaves its processes running, a restore that is killed leaves nothing. One thing cannot be',
    'had: a restore that is killed exactly between making a deleted file and deleting it again leaves it, empty, by its name.',
    'Linux has no call that makes a file which has lost its name. It can make one that never had any (O_TMPFILE), but',
    'the program would then see another name in /proc/self/fd than before.',
    '',
    '## The command line',
    '',
    `Commands: ${READY.map(name => `\`${name}\``).join(', ')} are carried out; ${Object.keys(COMMANDS)
      .filter(name => !(READY as readonly string[]).includes(name))
      .map(name => `\`${name}\``)
      .join(', ')} are refused by name.`,
    '',
    '### Options of CRIU that are refused',
    '',
    'Never ignored: what they ask for would not happen.',
    '',
    ...table(
      ['option', 'what to do'],
      OPTIONS.filter(option => option.since === undefined && option.harmless === undefined).map(option => [
        nameOfOption(option),
        (option.hint ?? '') + (option.only === undefined ? '' : ` (taken: ${option.only.join(', ')})`),
      ]),
    ),
    '### Options of CRIU that are taken and change nothing',
    '',
    ...table(
      ['option', 'why'],
      OPTIONS.filter(({ harmless }) => harmless !== undefined).map(option => [nameOfOption(option), option.harmless!]),
    ),
  )
  return `${lines.join('\n').trimEnd()}\n`
}

// ---- image.md

/** All messages that the files hold, and all enumerations of their fields, in the order of meeting. */
function collect(): { messages: Message[]; enumerations: Enumeration[] } {
  const messages = new Set<Message>()
  const enumerations = new Set<Enumeration>()
  const visit = (message: Message): void => {
    if (messages.has(message)) return
    messages.add(message)
    for (const { message: inner, values } of Object.values(message.fields)) {
      if (values !== undefined) enumerations.add(values)
      if (inner !== undefined) visit(inner)
    }
  }
  for (const file of Object.values<ImageFile>(imageFiles))
    for (const message of [file.entry, file.following, file.parts?.message]) if (message !== undefined) visit(message)
  return { messages: [...messages], enumerations: [...enumerations] }
}

/** A link to a heading; GitHub leaves out the dots of a name. */
const anchor = (name: string): string => `[${name}](#${name.toLowerCase().replaceAll('.', '')})`

function typeOf(field: Field, of: Message): string {
  if (field.word === 'message') return anchor((field.message ?? of).name)
  if (field.word === 'choice') return anchor(nameOfEnumeration(field.values!))
  return field.word
}

const defaultText = (value: unknown): string =>
  typeof value === 'number' || typeof value === 'bigint' || typeof value === 'boolean'
    ? String(value)
    : JSON.stringify(value)

function messageLines(message: Message): string[] {
  const fields = Object.entries(message.fields).toSorted((a, b) => a[1].number - b[1].number)
  const rows = fields.map(([name, field]) => [
    String(field.number),
    `\`${name}\``,
    typeOf(field, message),
    field.label + (field.default === undefined ? '' : `, absent is ${defaultText(field.default)}`),
  ])
  return [`### ${message.name}`, '', ...table(['number', 'field', 'type', ''], rows)]
}

const HEADERS: Readonly<Record<ImageFile['before'], string>> = {
  common: 'image',
  service: 'service',
  nothing: 'none',
}

function follows(file: ImageFile): string {
  if (file.parts !== undefined) return `${anchor(file.parts.message.name)}, with bytes, for each part`
  if (file.payload !== undefined) return 'bytes'
  return ''
}

export function imagePage(): string {
  const { messages, enumerations } = collect()
  const files = Object.entries<ImageFile>(imageFiles)
  const ours = messages.flatMap(message =>
    Object.entries(message.fields)
      .filter(([, { number }]) => number >= 1000)
      .map(([name, field]) => [anchor(message.name), String(field.number), `\`${name}\``, typeOf(field, message)]),
  )
  const lines = [
    NOTICE,
    '',
    '# The image directory',
    '',
    'The format is that of CRIU 4.2. A file begins with a magic for images (0x54564319) or for files about an image',
    '(0x55105940), and its own magic; numbers are little endian. Entries follow: 32 bits of length, and a protobuf',
    'message (proto2). After some entries come bytes. `inventory.img` is written last: a directory without it is none.',
    '',
    '`text` is a string of bytes: a path of Linux, which need not be UTF-8. Fields whose number nobody knows are kept.',
    '',
    '## Files with entries',
    '',
    ...table(
      ['file', 'magic', 'header', 'entry', 'others', 'behind an entry'],
      files.map(([, file]) => [
        `\`${file.name}\``,
        `0x${file.magic.toString(16)}`,
        HEADERS[file.before],
        anchor(file.entry.name),
        file.following === undefined ? '' : anchor(file.following.name),
        follows(file),
      ]),
    ),
    '## Files of bytes',
    '',
    Object.values(rawFiles)
      .map(name => `\`${name}\``)
      .join(', '),
    '',
    '## Fields of ours',
    '',
    'Numbered 1000 and up; all are optional or repeated. CRIU passes over them, and their absence means what it means to CRIU.',
    '',
    ...table(['message', 'number', 'field', 'type'], ours),
    '## Messages',
    '',
    ...messages.flatMap(messageLines),
    '## Enumerations',
    '',
    ...enumerations.flatMap(values => [
      `### ${nameOfEnumeration(values)}`,
      '',
      Object.entries(values)
        .map(([name, value]) => `\`${name}\` ${value}`)
        .join(', '),
      '',
    ]),
  ]
  return `${lines.join('\n').trimEnd()}\n`
}

/** The pages by their paths from the project's root. */
export const pages: ReadonlyMap<string, () => string> = new Map([
  ['docs/limits.md', limitsPage],
  ['docs/image.md', imagePage],
])

if (import.meta.main)
  for (const [path, page] of pages) {
    writeFileSync(join(root, path), page())
    console.log(`wrote ${path}`)
  }
