// What a program has done to a terminal emulator, undone for who leaves it and done again for who comes next.
import { expect, test } from 'bun:test'
import { Modes } from './modes.ts'

const after = (...pieces: readonly string[]): Modes => {
  const modes = new Modes()
  for (const piece of pieces) modes.note(Buffer.from(piece, 'latin1'))
  return modes
}

test('private modes that are not as at first are undone in reverse, and done again in order', () => {
  const modes = after('text\x1b[?1049h\x1b[22;0;0t\x1b[?1h\x1b=\x1b[?25l more \x1b[?2004h\x1b[31mred')
  expect(modes.doing).toBe('\x1b[?1049h\x1b[?1h\x1b[?25l\x1b[?2004h\x1b=')
  expect(modes.undoing).toBe('\x1b>\x1b[?2004l\x1b[?25h\x1b[?1l\x1b[?1049l\x1b[m')
})

test('what the program has undone itself is forgotten; several may stand in one sequence', () => {
  expect(after('\x1b[?1000;1006h\x1b[?1000l\x1b[?25l\x1b[?25h').doing).toBe('\x1b[?1006h')
  expect(after('\x1b[?1049h\x1b=\x1bc').doing).toBe('')
  expect(after('\x1b[?1049h\x1b[?1049l').undoing).toBe('\x1b[m')
})

test('a sequence is the same wherever it is cut', () => {
  const whole = 'a\x1b[?1049hb\x1b[?25l\x1b[>4;2m\x1b[>1u'
  const want = after(whole).doing
  expect(want).toBe('\x1b[?1049h\x1b[?25l\x1b[>4;2m\x1b[>1u')
  for (let at = 0; at <= whole.length; at++) expect(after(whole.slice(0, at), whole.slice(at)).doing).toBe(want)
})

test('keyboard modes are popped and reset', () => {
  expect(after('\x1b[>1u\x1b[>3u\x1b[<u').doing).toBe('\x1b[>1u')
  expect(after('\x1b[>1u\x1b[<9u\x1b[>4;1m\x1b[>4m').doing).toBe('')
  expect(after('\x1b[>1u\x1b[>4;1m').undoing).toBe('\x1b[<1u\x1b[>4m\x1b[m')
})

test('what is no sequence of modes changes nothing, however long it is', () => {
  expect(after(`\x1b[?${'1;'.repeat(1000)}h`, '\x1b]0;title\x07', '\x1b[?1$p', '\x1b[?\n25l').doing).toBe('')
})
