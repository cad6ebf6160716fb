import { afterAll, describe, expect, test } from 'bun:test'
import { mkdtempSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { configSources, parseConfig } from './config.ts'
import { commandLine, dumpOptions, NOWHERE, scan } from './parse.ts'

describe('a configuration file', () => {
  test('says long options, one a line', () => {
    const text = `
# a comment
tcp-established
  timeout 12   # behind a value
work-dir "/a b/c\\"d" # quoted
log-file x#y
verbosity 4
verbosity=3
no-display-stats
images-dir ""`
    expect(parseConfig(text, 'f')).toEqual([
      '--tcp-established',
      '--timeout',
      '12',
      '--work-dir',
      '/a b/c"d',
      '--log-file',
      'x',
      '--verbosity=4',
      '--verbosity=3',
      '--no-display-stats',
      '--images-dir',
      '',
    ])
  })

  test('that cannot be read is refused with the line', () => {
    expect(() => parseConfig('timeout 1\nwork-dir "/a', 'f')).toThrow('line 2 of f cannot be read')
    expect(() => parseConfig('work-dir a b', 'f')).toThrow('line 1 of f')
    expect(() => parseConfig('tcp-established yes', 'f')).toThrow('line 1 of f')
  })
})

describe('configuration files', () => {
  const home = mkdtempSync(join(tmpdir(), 'config-'))
  afterAll(() => rmSync(home, { recursive: true }))
  mkdirSync(join(home, '.criu'))
  writeFileSync(join(home, '.criu/default.conf'), 'timeout 1\nwork-dir home\n')
  writeFileSync(join(home, 'env.conf'), 'timeout 2\n')
  writeFileSync(join(home, 'named.conf'), 'timeout 3\ntrack-mem\n')
  const environment = { HOME: home, CRIU_CONFIG_FILE: join(home, 'env.conf') }

  const read = (words: string, variables: Record<string, string> = environment) => {
    const { found, operands } = scan(words.split(' '))
    const { sources, warnings } = configSources(found, variables)
    return { line: commandLine(found, operands, sources), warnings }
  }

  test('count in order, the command line most', () => {
    const { line } = read('dump -t 1')
    expect(dumpOptions(line, NOWHERE).timeoutSeconds).toBe(2)
    expect(line.values.text('work-dir')).toBe('home')
    expect(dumpOptions(read('dump -t 1 --timeout 9').line, NOWHERE).timeoutSeconds).toBe(9)
    expect(dumpOptions(read('dump -t 1', { HOME: home }).line, NOWHERE).timeoutSeconds).toBe(1)
  })

  test('are left out by --no-default-config and --config', () => {
    expect(read('dump -t 1 --no-default-config').line.values.text('work-dir')).toBeUndefined()
    const { line } = read(`restore --config=${home}/named.conf`)
    expect([line.values.text('work-dir'), line.values.text('timeout')]).toEqual([undefined, '3'])
    // A file serves all commands, so what does not apply to this one is no news.
    expect(line.warnings).toEqual([])
  })

  test('are held to the same rules', () => {
    expect(() => read(`dump -t 1 --config ${home}/named.conf`)).toThrow('option --track-mem is not supported yet')
    expect(read('dump -t 1 --config /nonexistent').warnings).toEqual([
      'configuration file /nonexistent cannot be opened',
    ])
    expect(read('dump -t 1', {}).warnings).toEqual(['HOME is not set: no configuration file of the user is read'])
  })
})
