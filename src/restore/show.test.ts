// What of the typed bytes goes to the program, and what is for ourselves.
import { expect, test } from 'bun:test'
import { readKeys } from './show.ts'

const keys = (text: string, prefix = false): ReturnType<typeof readKeys> =>
  readKeys(Buffer.from(text, 'latin1'), prefix)

test('Ctrl-\\ and d detaches; what was typed before it has arrived, what comes after has not', () => {
  expect(keys('ab\x1cdc')).toEqual({ bytes: [0x61, 0x62], prefix: false, detach: true })
  expect(keys('d')).toEqual({ bytes: [0x64], prefix: false, detach: false })
})

test('Ctrl-\\ waits for the next key, in the next read too', () => {
  expect(keys('a\x1c')).toEqual({ bytes: [0x61], prefix: true, detach: false })
  expect(keys('d', true)).toEqual({ bytes: [], prefix: false, detach: true })
})

test('twice it is one for the program, and with another key both are', () => {
  expect(keys('\x1c\x1c')).toEqual({ bytes: [0x1c], prefix: false, detach: false })
  expect(keys('\x1cx')).toEqual({ bytes: [0x1c, 0x78], prefix: false, detach: false })
  expect(keys('\x1c\x1cd')).toEqual({ bytes: [0x1c, 0x64], prefix: false, detach: false })
})
