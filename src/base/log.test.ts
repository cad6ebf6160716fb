import { expect, test } from 'bun:test'
import { log } from './log.ts'

const LINE = /^\(\d{2,}\.\d{6}\) /

function opened(level: number, options: { stamped?: boolean } = {}): string[] {
  const lines: string[] = []
  log.setLevel(level)
  log.open(text => void lines.push(text), options)
  return lines
}

test('keeps what is said before it is opened, and then writes what the level allows', () => {
  log.close()
  log.setLevel(2)
  log.info('early info')
  log.error('kinds/fd/pipe', 'early error')
  const lines = opened(3)
  log.close()
  expect(lines.map(line => line.replace(LINE, ''))).toEqual(['early info\n', 'Error (kinds/fd/pipe): early error\n'])
  for (const line of lines) expect(line).toMatch(LINE)
})

test('has the prefixes that tools look for', () => {
  const lines = opened(4)
  log.error('dump', 'a')
  log.warn('dump', 'b')
  log.info('c')
  log.debug(() => 'd')
  log.error('dump', 'two\nlines')
  log.close()
  expect(lines.map(line => line.replace(LINE, ''))).toEqual([
    'Error (dump): a\n',
    'Warn  (dump): b\n',
    'c\n',
    'd\n',
    'Error (dump): two\\nlines\n',
  ])
})

test('does not put together what it does not write', () => {
  const lines = opened(2)
  let called = false
  log.debug(() => {
    called = true
    return 'x'
  })
  log.info('y')
  log.close()
  expect([called, lines]).toEqual([false, []])
})

test('stamps no time on a terminal below level 3', () => {
  const lines = opened(2, { stamped: false })
  log.warn('cli', 'x')
  log.setLevel(3)
  log.warn('cli', 'y')
  log.close()
  expect(lines[0]).toBe('Warn  (cli): x\n')
  expect(lines[1]).toMatch(LINE)
})

test('remembers the first error for peers', () => {
  opened(0)
  log.error('dump', 'first')
  log.error('dump', 'second')
  expect(log.firstError).toBe('first')
  log.close()
  expect(log.firstError).toBeUndefined()
})
