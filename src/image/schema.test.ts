// Our schema against the facts of CRIU's format (test/golden/criu-images.json): numbers, labels, types, names, hints.
import { describe, expect, test } from 'bun:test'
import facts from '../../test/golden/criu-images.json'
import { imageFiles, rawFiles } from './files.ts'
import * as messages from './messages/index.ts'
import { nameOfEnumeration, type Enumeration, type Field, type Message } from './words.ts'

/** Numbers from here on are ours (src/image/README.md). */
const OURS = 1000

const isMessage = (value: object): value is Message => 'fields' in value
const all = Object.values(messages) as (Message | Enumeration)[]
const ours = new Map(all.filter(isMessage).map(message => [message.name, message]))
const enumerations = new Map(
  all.filter((value): value is Enumeration => !isMessage(value)).map(values => [nameOfEnumeration(values), values]),
)

const protoWords: Record<string, string> = {
  u32: 'uint32',
  u64: 'uint64',
  i32: 'int32',
  i64: 'int64',
  s32: 'sint32',
  s64: 'sint64',
  fixed64: 'fixed64',
  bool: 'bool',
  bytes: 'bytes',
  text: 'string',
}

const typeOf = (message: Message, field: Field): string =>
  field.word === 'message'
    ? (field.message ?? message).name
    : field.word === 'choice'
      ? nameOfEnumeration(field.values!)
      : protoWords[field.word]!

/** Hints as the facts have them. */
function hintsOf(field: Field): Record<string, unknown> {
  const show = field.show
  switch (show?.as) {
    case 'hex':
      return { hex: true }
    case 'ip':
      return { ipadd: true }
    case 'unix_name':
      return { conv: 'unix_name' }
    case 'dev':
      return show.old ? { dev: true, odev: true } : { dev: true }
    case 'flags':
      return { flags: show.table }
    case 'dict':
      return { dict: show.table }
    default:
      return {}
  }
}

/** What a default of the facts is as a value of ours. */
function defaultOf(field: Field, said: string): unknown {
  if (field.word === 'choice') return (field.values as unknown as Record<string, number>)[said]
  return field.word === 'bool' ? said === 'true' : Number(said)
}

describe('the schema is CRIU’s', () => {
  test('no message is missing, none is invented', () => {
    expect([...ours.keys()].toSorted()).toEqual(Object.keys(facts.messages).toSorted())
  })

  for (const [name, fields] of Object.entries(facts.messages))
    test(name, () => {
      const message = ours.get(name)!
      const known = Object.entries(message.fields).filter(([, field]) => field.number < OURS)
      expect(known.map(([field, of]) => `${of.number} ${of.label} ${typeOf(message, of)} ${field}`).toSorted()).toEqual(
        fields.map(field => (typeof field === 'string' ? field : (field[0] as string))).toSorted(),
      )
      for (const entry of fields) {
        const [line, options] = (Array.isArray(entry) ? entry : [entry, {}]) as [string, Record<string, string>]
        const field = message.fields[line.split(' ')[3]!]!
        const { default: standsFor, ...hints } = options
        expect(hintsOf(field)).toEqual(hints)
        // The default of a field that is always there, or is zero, says nothing.
        if (standsFor !== undefined && field.label === 'optional')
          expect(field.default).toBe(defaultOf(field, standsFor))
      }
    })

  test('what is ours may be absent', () => {
    for (const message of ours.values())
      for (const field of Object.values(message.fields))
        if (field.number >= OURS) expect(field.label).not.toBe('required')
  })

  test('enumerations', () => {
    expect([...enumerations.keys()].toSorted()).toEqual(Object.keys(facts.enums).toSorted())
    for (const [name, values] of Object.entries(facts.enums))
      expect(Object.entries(enumerations.get(name)!)).toEqual(Object.entries(values))
  })

  test('files', () => {
    // Names that only versions before images v1.1 had, with no message of their own.
    const gone = new Set(['BINFMT_MISC_OLD', 'PAGES_OLD', 'SHM_PAGES_OLD', 'SIGNAL', 'PSIGNAL'])
    const known = facts.files.filter(file => !gone.has(file.key))
    expect([...Object.keys(imageFiles), ...Object.keys(rawFiles)].toSorted()).toEqual(
      known.map(file => file.key).toSorted(),
    )
    for (const file of known) {
      const raw = rawFiles[file.key as keyof typeof rawFiles]
      if (raw !== undefined) {
        expect([raw, '0x0']).toEqual([file.file.replace('%lu', '%u'), file.magic])
        continue
      }
      const own = imageFiles[file.key as keyof typeof imageFiles]
      expect([`0x${own.magic.toString(16)}`, own.entry.name]).toEqual([file.magic, file.entry!])
      if (file.key !== 'STATS') expect(own.name).toBe(file.file.replace('%lu', '%u'))
    }
  })
})
