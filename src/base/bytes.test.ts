import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { bytesOf, textOf } from './bytes.ts'

describe('text of bytes', () => {
  const cases: [string, number[], string][] = [
    ['plain ASCII', [0x2f, 0x74, 0x6d, 0x70], '/tmp'],
    ['valid UTF-8', [0xc3, 0xa4, 0xf0, 0x9f, 0x98, 0x80], 'ä😀'],
    ['a byte order mark is kept', [0xef, 0xbb, 0xbf, 0x61], '\ufeffa'],
    ['a lone continuation byte', [0x61, 0x80, 0x62], 'a\udc80b'],
    ['0xff', [0xff], '\udcff'],
    ['an overlong form', [0xc0, 0xaf], '\udcc0\udcaf'],
    ['an encoded surrogate', [0xed, 0xa0, 0x80], '\udced\udca0\udc80'],
    ['more than U+10FFFF', [0xf4, 0x90, 0x80, 0x80], '\udcf4\udc90\udc80\udc80'],
    ['a sequence cut short', [0x61, 0xe2, 0x82], 'a\udce2\udc82'],
    ['valid text around a bad byte', [0xc3, 0xa4, 0xfe, 0xc3, 0xb6], 'ä\udcfeö'],
    ['nothing', [], ''],
  ]
  for (const [name, bytes, text] of cases)
    test(name, () => {
      expect(textOf(Uint8Array.from(bytes))).toBe(text)
      expect([...bytesOf(text)]).toEqual(bytes)
    })

  test('loses no byte, whatever they are', () => {
    const likely = fc.constantFrom(0, 0x41, 0x7f, 0x80, 0xbf, 0xc2, 0xe0, 0xa0, 0xed, 0xf0, 0x90, 0xf4, 0x8f, 0xff)
    const byte = fc.oneof(likely, fc.nat(255))
    fc.assert(
      fc.property(fc.array(byte, { maxLength: 60 }), bytes => {
        expect([...bytesOf(textOf(Uint8Array.from(bytes)))]).toEqual(bytes)
      }),
      { numRuns: 2000 },
    )
  })

  test('a surrogate that stands for no byte is refused', () => {
    expect(() => bytesOf('a\ud800')).toThrow('U+D800 alone, at 1 of a text')
  })
})
