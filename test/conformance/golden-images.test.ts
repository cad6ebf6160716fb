// CRIU's own images: decoded as crit prints them, and encoded again to the very bytes (test/golden).
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { closeSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ImageDirectory, openImageDirectory } from '../../src/image/directory.ts'
import { keyOfBytes, memorySource } from '../../src/image/entries.ts'
import { imageFiles, keyOf, type ImageKey } from '../../src/image/files.ts'
import { showImage } from '../../src/image/show.ts'
import { ImageWriter } from '../../src/image/writer.ts'

const golden = join(import.meta.dir, '../golden')
const names = readdirSync(join(golden, 'images')).filter(name => !name.startsWith('pages-'))
const bytesOfFile = (name: string): Uint8Array => new Uint8Array(readFileSync(join(golden, 'images', name)))

describe('an image made by CRIU', () => {
  let images: ImageDirectory
  let copy: string
  beforeAll(() => {
    images = new ImageDirectory(openImageDirectory(join(golden, 'images')))
    copy = mkdtempSync(join(tmpdir(), 'bardo-golden-'))
  })
  afterAll(() => {
    closeSync(images.fd)
    images[Symbol.dispose]()
    rmSync(copy, { recursive: true })
  })

  test('has every file that crit decoded', () => {
    expect(names.map(name => `${name}.json`).toSorted()).toEqual(readdirSync(join(golden, 'decoded')).toSorted())
    expect(images.list().filter(name => !name.startsWith('pages-'))).toEqual(names.toSorted())
  })

  for (const name of names) {
    test(`${name} prints as crit prints it`, () => {
      let text = ''
      using source = images.source(name)
      showImage(source, name, piece => (text += piece))
      expect(text.trimEnd()).toBe(readFileSync(join(golden, 'decoded', `${name}.json`), 'utf8').trimEnd())
    })

    test(`${name} encodes to the same bytes`, () => {
      const key = keyOf(name) as ImageKey
      const ids = name.match(/\d+|dump/g) ?? []
      const fd = openImageDirectory(copy)
      const writer = new ImageWriter(fd)
      writer.begin(key, ...ids)
      images.each(key, ids, found => {
        const payload = found.payload.size > 0 ? images.payload(name, found.payload) : undefined
        writer.add(key, ids, found.entry, payload)
      })
      writer.finish()
      closeSync(fd)
      expect(readFileSync(join(copy, name))).toEqual(Buffer.from(bytesOfFile(name)))
    })
  }

  test('files are known by name and by magic', () => {
    for (const name of names) {
      const key = keyOf(name) as ImageKey
      const byMagic = keyOfBytes(memorySource(bytesOfFile(name)))!
      expect(imageFiles[byMagic].magic).toBe(imageFiles[key].magic)
    }
    expect(keyOf('pages-1.img')).toBe('PAGES')
    expect(keyOfBytes(memorySource(bytesOfFile('pages-1.img')))).toBeUndefined()
    expect(keyOf('core-3490.img.bak')).toBeUndefined()
  })
})
