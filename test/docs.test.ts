// The documents are true: generated pages are current, links lead somewhere.
import { describe, expect, test } from 'bun:test'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { pages } from '../tools/docs.ts'
import { projectRoot } from './conformance/workload-list.ts'

const documents = [
  'README.md',
  'CHANGELOG.md',
  ...readdirSync(join(projectRoot, 'docs'), { recursive: true, encoding: 'utf8' })
    .filter(name => name.endsWith('.md'))
    .map(name => join('docs', name))
    .toSorted(),
]
const textOf = (path: string): string => readFileSync(join(projectRoot, path), 'utf8')

/** What a heading is linked by, as GitHub makes it. */
const anchorOf = (heading: string): string =>
  heading
    .toLowerCase()
    .replace(/[^\p{L}\p{N} _-]/gu, '')
    .replaceAll(' ', '-')

describe('documents', () => {
  for (const [path, page] of pages)
    test(`${path} is current (tools/bun tools/docs.ts writes it)`, () => {
      expect(textOf(path) === page()).toBe(true)
    })

  test('links lead somewhere', () => {
    const findings: string[] = []
    for (const path of documents) {
      // In code, brackets are no links.
      const text = textOf(path)
        .replace(/^```[^]*?^```/gm, '')
        .replace(/`[^`\n]*`/g, '')
      for (const [, target] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
        if (/^https?:/.test(target!)) continue
        const [file, anchor] = target!.split('#') as [string, string | undefined]
        const other = file === '' ? path : join(dirname(path), file)
        if (!existsSync(join(projectRoot, other))) findings.push(`${path}: ${target} is not there`)
        else if (anchor !== undefined && other.endsWith('.md')) {
          const headings = [...textOf(other).matchAll(/^#+ (.*)$/gm)].map(([, heading]) => anchorOf(heading!))
          if (!headings.includes(anchor)) findings.push(`${path}: ${target} has no such heading`)
        }
      }
    }
    expect(findings.join('\n')).toBe('')
  })

  test('the kind that is shown to newcomers is the one that is there', () => {
    expect(textOf('docs/add-a-kind.md')).toContain(textOf('src/kinds/fd/eventfd.ts'))
  })

  test('no path of one machine is in them', () => {
    const findings = documents.filter(path => /\/work\/|\/tmp\/criu/.test(textOf(path)))
    expect(findings).toEqual([])
  })
})
