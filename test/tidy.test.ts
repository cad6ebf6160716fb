// The style, executed: what a review would otherwise have to say each time.
import { describe, expect, test } from 'bun:test'
import { readdirSync, readFileSync } from 'node:fs'
import { basename, dirname, join, relative } from 'node:path'
import { projectRoot, workloads } from './conformance/workload-list.ts'

/** Imports point only downward in this list; rooms on one line do not import each other. */
const layers: readonly (readonly string[])[] = [
  ['cli'],
  ['rpc'],
  ['dump', 'restore'],
  ['kinds'],
  ['program'],
  ['image'],
  ['tracee'],
  ['linux'],
  ['base'],
]

/** Names that say nothing of what is inside. */
const bannedNames = new Set(['utils', 'util', 'common', 'helpers', 'helper', 'misc', 'types', 'stuff', 'manager'])
const bannedFolders = new Set([...bannedNames, 'core', 'lib'])

/** Files whose length is that of a table. */
const tables = new Set([
  'src/linux/constants.ts',
  'src/linux/arch/x86-64-nr.ts',
  'src/base/errno.ts',
  'src/cli/options.ts',
  'src/linux/names.ts',
])
const [LONG, TOO_LONG] = [400, 600]

/** Not kinds, though they are in the rooms of kinds: lists, interfaces, and what is refused by name. */
const notKinds = new Set(['src/kinds/kind.ts', 'src/kinds/fd/not-yet.ts'])

interface Source {
  /** From the project's root. */
  readonly path: string
  readonly text: string
  readonly isTest: boolean
}

function sourcesBelow(folder: string): Source[] {
  return readdirSync(join(projectRoot, folder), { recursive: true, encoding: 'utf8' })
    .filter(name => name.endsWith('.ts') && !name.includes('node_modules'))
    .map(name => {
      const path = join(folder, name)
      return { path, text: readFileSync(join(projectRoot, path), 'utf8'), isTest: name.endsWith('.test.ts') }
    })
    .toSorted((a, b) => (a.path < b.path ? -1 : 1))
}

const sources = sourcesBelow('src')
const all = [...sources, ...['test', 'tools', 'bench'].flatMap(sourcesBelow)]

/** What a file imports, statically or not: `./x.ts`, `node:fs`. */
const importsOf = (text: string): string[] =>
  [...text.matchAll(/^(?:import|export)\b[^'"]*?\bfrom '([^']+)'|^import '([^']+)'|\bimport\('([^']+)'\)/gm)].map(
    match => (match[1] ?? match[2] ?? match[3])!,
  )

const roomOf = (path: string): string => path.split('/')[1]!
const depthOf = (room: string): number => layers.findIndex(layer => layer.includes(room))

/** Every finding at once, as lines, so that one run tells all there is to do. */
const none = (findings: readonly string[]): void => expect(findings.join('\n')).toBe('')

describe('tidy', () => {
  test('imports point only downward', () => {
    const findings: string[] = []
    for (const { path, text, isTest } of sources) {
      const room = roomOf(path)
      if (depthOf(room) < 0) findings.push(`${path}: ${room} is no room of the design`)
      for (const name of importsOf(text)) {
        if (!name.startsWith('.')) continue
        const target = join(dirname(path), name)
        const other = roomOf(target)
        if (isTest && target.startsWith('test/')) continue
        if (!target.startsWith('src/')) findings.push(`${path} imports ${target}, which is not in src`)
        else if (other !== room && depthOf(other) <= depthOf(room))
          findings.push(`${path} imports ${target}: upward or sideways`)
      }
    }
    none(findings)
  })

  test('built-in modules stay out of src, and bun:ffi is known to the seam alone', () => {
    const findings: string[] = []
    for (const { path, text, isTest } of all)
      for (const name of importsOf(text)) {
        if (name === 'bun:ffi' && path !== 'src/linux/ffi.ts') findings.push(`${path} imports bun:ffi`)
        const builtIn =
          name.startsWith('node:') || ['fs', 'path', 'os', 'child_process', 'net', 'tls', 'zlib'].includes(name)
        if (path.startsWith('src/') && !isTest && builtIn) findings.push(`${path} imports ${name}: it costs start-up`)
      }
    for (const { path, text, isTest } of sources)
      if (!isTest && /\bprocess\.(stdout|stderr|stdin)\b/.test(text))
        findings.push(`${path} uses process.stdout: 12 ms`)
    none(findings)
  })

  // The executable starts from memory of its build (docs/decisions/frozen-start.md).
  test('modules remember nothing of a run but through base/run.ts', () => {
    const findings: string[] = []
    const told = /\bperformance\.|\bBun\.env\b|\bprocess\.env\b|\bcrypto\.|\bMath\.random\b/
    for (const { path, text, isTest } of sources) {
      if (isTest || path === 'src/base/run.ts') continue
      for (const [index, line] of text.split('\n').entries()) {
        // What decode.ts keeps is of one call.
        if (/^(export )?(let|var) /.test(line) && path !== 'src/image/decode.ts')
          findings.push(`${path}:${index + 1}: a variable of the module: use perRun, or once`)
        if (told.test(line.replace(/\/\/.*|^ *\/?\*.*/, '')))
          findings.push(`${path}:${index + 1}: what the runtime knows is of its own start`)
      }
    }
    none(findings)
  })

  test('names say what is inside', () => {
    const findings: string[] = []
    for (const { path } of all) {
      if (bannedNames.has(basename(path).replace(/(\.test)?\.ts$/, '')))
        findings.push(`${path}: a name that says nothing`)
      for (const folder of dirname(path).split('/'))
        if (bannedFolders.has(folder)) findings.push(`${path}: a folder named ${folder}`)
      if (!/^[a-z0-9-]+(\.test)?\.ts$/.test(basename(path))) findings.push(`${path}: file names are kebab-case`)
    }
    none(findings)
  })

  test('files begin by saying what they are, and are not too long', () => {
    const findings: string[] = []
    for (const { path, text, isTest } of all) {
      const lines = text.split('\n')
      if (!isTest && !/^(\/\/|\/\*\*|#!)/.test(lines[0]!)) findings.push(`${path}: no comment at its head`)
      const head = lines
        .slice(
          0,
          lines.findIndex(line => !line.startsWith('//')),
        )
        .join(' ')
      if (tables.has(path)) continue
      if (lines.length > TOO_LONG) findings.push(`${path}: ${lines.length} lines`)
      else if (lines.length > LONG && !/\b(long|length|lines)\b/i.test(head))
        findings.push(`${path}: ${lines.length} lines, and its head does not say why it is so long`)
    }
    none(findings)
  })

  test('nothing is left to do, and nothing names a machine', () => {
    const later = /\b(TODO|FIXME|XXX)\b/
    const places = /\/work\/|\/tmp\/criu/
    const findings: string[] = []
    const lines = (path: string, text: string): void => {
      for (const [index, line] of text.split('\n').entries()) {
        if (later.test(line)) findings.push(`${path}:${index + 1}: something is left to do`)
        if (places.test(line)) findings.push(`${path}:${index + 1}: a path of one machine`)
      }
    }
    // This file holds the words that it looks for.
    for (const { path, text } of all) if (path !== 'test/tidy.test.ts') lines(path, text)
    for (const { source } of workloads) lines(relative(projectRoot, source), readFileSync(source, 'utf8'))
    for (const file of ['bardo', 'tools/bun', 'tools/test', '.ci/run', 'package.json'])
      lines(file, readFileSync(join(projectRoot, file), 'utf8'))
    none(findings)
  })

  test('packages come from the public registry', () => {
    const lock = JSON.parse(readFileSync(join(projectRoot, 'package-lock.json'), 'utf8')) as {
      packages: Record<string, { resolved?: string }>
    }
    const hosts = Object.values(lock.packages).flatMap(({ resolved }) =>
      resolved === undefined ? [] : [new URL(resolved).host],
    )
    expect([...new Set(hosts)].filter(host => host !== 'registry.npmjs.org')).toEqual([])
  })
})

describe('kinds', () => {
  const rooms = sources.filter(({ path, isTest }) => path.startsWith('src/kinds/') && !isTest)
  const kinds = rooms.filter(({ path }) => basename(path) !== 'index.ts' && !notKinds.has(path))
  const nameOf = (path: string): string => relative('src/kinds', path).replace(/\.ts$/, '')
  const exercised = new Set(workloads.flatMap(workload => workload.kinds))
  /** `tty/*` stands for the whole room. */
  const roomed = (name: string): string => `${name.split('/')[0]}/*`

  test('each has a workload that names it in its head', () => {
    none(
      kinds
        .map(({ path }) => nameOf(path))
        .filter(name => !exercised.has(name) && !exercised.has(roomed(name)))
        .map(name => `${name}: no workload`),
    )
  })

  test('workloads name kinds that exist', () => {
    const known = new Set(kinds.map(({ path }) => nameOf(path)).flatMap(name => [name, roomed(name)]))
    const findings = workloads.flatMap(({ name, kinds: named }) =>
      named.filter(kind => !known.has(kind)).map(kind => `${name}.c names ${kind}, which is no kind`),
    )
    none(findings)
    none(workloads.filter(workload => workload.kinds.length === 0).map(({ name }) => `${name}.c names no kind`))
  })

  test('each kind of file has its line in the index of its room', () => {
    const findings: string[] = []
    for (const { path, text } of kinds) {
      if (!/^export const \w+ = fileKind\(/m.test(text)) continue
      const index = join(dirname(path), 'index.ts')
      const listed = rooms.find(room => room.path === index)?.text ?? ''
      if (!listed.includes(`'./${basename(path)}'`)) findings.push(`${path} has no line in ${index}`)
    }
    none(findings)
  })
})
