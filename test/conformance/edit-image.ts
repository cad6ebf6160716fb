// Rewrites files of an image directory, to make images as others write them, or as nobody should.
import { readFileSync, writeFileSync } from 'node:fs'
import { basename } from 'node:path'
import { encodeEntry, Sink } from '../../src/image/codec.ts'
import { eachEntry, headerBytes, memorySource } from '../../src/image/entries.ts'
import { imageFiles, type EntryOf, type ImageFile, type ImageKey } from '../../src/image/files.ts'
import type { Message, State } from '../../src/image/words.ts'

/** Changes the entries of the file at `path`, of a key without payloads. */
export function editImage<K extends ImageKey>(
  path: string,
  key: K,
  how: (entries: EntryOf<K>[]) => EntryOf<K>[],
): void {
  const bytes = new Uint8Array(readFileSync(path))
  const file: ImageFile = imageFiles[key]
  if (file.payload !== undefined || file.following !== undefined) throw new Error(`${key} has more than entries`)
  const entries: EntryOf<K>[] = []
  eachEntry(memorySource(bytes), basename(path), file, ({ entry }) => void entries.push(entry as EntryOf<K>))
  const message: Message = file.entry
  const sink = new Sink()
  sink.append(bytes.subarray(0, headerBytes(file)))
  for (const entry of how(entries)) encodeEntry(sink, message, entry as State<Message>)
  writeFileSync(path, sink.written())
}
