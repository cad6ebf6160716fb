// getopt_long(3) with the GNU rules, over the option table: permutation (options before or after the command, unless
// POSIXLY_CORRECT is set), bundles (-Rv4), arguments attached or in the next word, optional arguments only attached,
// unambiguous abbreviations of long names, `--` as the end. In addition `--no-NAME` where the table allows it.
import { BardoError } from '../base/errors.ts'

/** What the scanner has to know of an option; the table's entries are such. */
export type Spec = {
  /** The long name, without dashes. */
  readonly long: string
  readonly short?: string
  /** Whether an argument follows: never, always, or only attached (`-v4`, `--verbosity=4`). */
  readonly takes: 'nothing' | 'value' | 'maybe'
  /** `--no-LONG` exists. */
  readonly negatable?: boolean
}

export type Found<S extends Spec> = {
  readonly spec: S
  /** As it was written, such as `-v` or `--tree`, for messages. */
  readonly written: string
  readonly value: string | undefined
  /** `--no-LONG` was written. */
  readonly negated: boolean
}

export type Scanned<S extends Spec> = { readonly found: readonly Found<S>[]; readonly operands: readonly string[] }

type Name<S extends Spec> = { readonly text: string; readonly spec: S; readonly negated: boolean }

function namesOf<S extends Spec>(specs: readonly S[]): Name<S>[] {
  return specs.flatMap(spec => {
    const plain = { text: spec.long, spec, negated: false }
    return spec.negatable ? [plain, { text: `no-${spec.long}`, spec, negated: true }] : [plain]
  })
}

/** How many letters must change to make one name of the other, given up beyond `most`. */
export function distance(a: string, b: string, most: number): number {
  if (Math.abs(a.length - b.length) > most) return most + 1
  let previous = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const change = previous[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)
      row.push(Math.min(previous[j]! + 1, row[j - 1]! + 1, change))
    }
    previous = row
  }
  return previous[b.length]!
}

/** The names closest to a wrong one, best first. */
export function closest(wrong: string, names: readonly string[]): string[] {
  const most = wrong.length <= 4 ? 1 : 3
  return names
    .map(name => ({ name, far: name.includes(wrong) && wrong.length > 3 ? 0 : distance(wrong, name, most) }))
    .filter(({ far }) => far <= most)
    .toSorted((a, b) => a.far - b.far)
    .slice(0, 3)
    .map(({ name }) => name)
}

function findLong<S extends Spec>(written: string, names: readonly Name<S>[]): Name<S> {
  const exact = names.find(name => name.text === written)
  if (exact) return exact
  const candidates = names.filter(name => name.text.startsWith(written))
  if (candidates.length === 1) return candidates[0]!
  if (candidates.length > 1) {
    throw new BardoError('usage', `option '--${written}' is ambiguous`, {
      why: `it could be ${candidates.map(name => `'--${name.text}'`).join(', ')}`,
      hint: 'write the whole name',
    })
  }
  const near = closest(
    written,
    names.map(name => name.text),
  )
  throw new BardoError('usage', `unrecognized option '--${written}'`, {
    hint: near.length > 0 ? `did you mean ${near.map(name => `'--${name}'`).join(' or ')}?` : undefined,
  })
}

const needsArgument = (written: string): BardoError =>
  new BardoError('usage', `option '${written}' requires an argument`)

/** Reads `words` (without the program's name). Throws a `usage` error at the first word that fits nothing. */
export function getopt<S extends Spec>(
  words: readonly string[],
  specs: readonly S[],
  { permute = true }: { readonly permute?: boolean } = {},
): Scanned<S> {
  const names = namesOf(specs)
  const found: Found<S>[] = []
  const operands: string[] = []
  let at = 0

  const long = (word: string): void => {
    const equals = word.indexOf('=')
    const written = equals < 0 ? word.slice(2) : word.slice(2, equals)
    let value = equals < 0 ? undefined : word.slice(equals + 1)
    const { spec, negated, text } = findLong(written, names)
    if (value !== undefined && (spec.takes === 'nothing' || negated))
      throw new BardoError('usage', `option '--${text}' doesn't allow an argument`)
    if (value === undefined && spec.takes === 'value' && !negated) {
      if (at >= words.length) throw needsArgument(`--${text}`)
      value = words[at++]
    }
    found.push({ spec, written: `--${text}`, value, negated })
  }

  const bundle = (word: string): void => {
    for (let i = 1; i < word.length; i++) {
      const written = `-${word[i]}`
      const spec = specs.find(each => each.short === word[i])
      if (spec === undefined) {
        const meant =
          word.length > 2
            ? closest(
                word.slice(1).split('=')[0]!,
                names.map(name => name.text),
              )[0]
            : undefined
        throw new BardoError('usage', `invalid option '${written}'${word.length > 2 ? ` in '${word}'` : ''}`, {
          hint: meant === undefined ? undefined : `long options take two dashes: '--${meant}'`,
        })
      }
      if (spec.takes === 'nothing') {
        found.push({ spec, written, value: undefined, negated: false })
        continue
      }
      let value: string | undefined = word.slice(i + 1)
      if (value === '') {
        if (spec.takes === 'value' && at >= words.length) throw needsArgument(written)
        value = spec.takes === 'value' ? words[at++] : undefined
      }
      found.push({ spec, written, value, negated: false })
      return
    }
  }

  while (at < words.length) {
    const word = words[at++]!
    if (word === '--') {
      operands.push(...words.slice(at))
      break
    }
    if (word.startsWith('--')) long(word)
    else if (word.startsWith('-') && word !== '-') bundle(word)
    else if (permute) operands.push(word)
    else {
      operands.push(word, ...words.slice(at))
      break
    }
  }
  return { found, operands }
}
