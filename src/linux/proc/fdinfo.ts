// /proc/PID/fdinfo/FD: an open file description, what all have and what its kind adds (man 5 proc; seq_show in
// fs/proc/fd.c).
import { Cursor } from './cursor.ts'

const [NEWLINE, TAB, SPACE, COLON] = [0x0a, 0x09, 0x20, 0x3a]

export type Fdinfo = {
  /** The file position. */
  pos: bigint
  /** Open and status flags, O_*; O_CLOEXEC is the descriptor's, the rest the description's. */
  flags: number
  mnt_id: number
  /** Since Linux 5.14. */
  ino?: number | bigint
  /**
   * The locks held through this description, as /proc/locks writes them: `1: FLOCK  ADVISORY  WRITE 4312 08:01:1234 0
   * EOF`.
   */
  locks: string[]
  /**
   * The lines of the kind, by what stands before their first colon, in order: `eventfd-count` -> ['3'],
   * `inotify wd` -> ['3 ino:9e7e sdev:800013 …', …], `tfd` -> ['5 events: 19 …', …].
   * Blanks around a value are left out.
   */
  extra: Map<string, string[]>
}

/**
 * Throws a BardoError `bug` on anything that is not an fdinfo file.
 * Only the lines at the start are taken for the common ones: a kind may print what its owner named (a dma-buf's name
 * may hold a newline), and that must not pass for a position or a lock.
 */
export function parseFdinfo(bytes: Uint8Array): Fdinfo {
  const cursor = new Cursor(bytes, 'fdinfo')
  const pos = headLine(cursor, 'pos:\t', () => cursor.signed64())
  const flags = headLine(cursor, 'flags:\t', () => cursor.octal())
  const mnt_id = headLine(cursor, 'mnt_id:\t', () => cursor.signed())
  const info: Fdinfo = { pos, flags, mnt_id, locks: [], extra: new Map() }
  if (cursor.startsWith('ino:\t')) info.ino = headLine(cursor, 'ino:\t', () => cursor.decimalAny())
  while (cursor.startsWith('lock:\t')) {
    cursor.expectText('lock:\t')
    info.locks.push(cursor.text(cursor.lineEnd()))
    cursor.nextLine()
  }
  while (!cursor.atEnd) addExtra(cursor, info.extra)
  return info
}

function headLine<T>(cursor: Cursor, key: string, read: () => T): T {
  cursor.expectText(key)
  const value = read()
  cursor.expect(NEWLINE)
  return value
}

function addExtra(cursor: Cursor, extra: Map<string, string[]>): void {
  const end = cursor.lineEnd()
  const colon = cursor.find(COLON, end)
  const key = cursor.text(colon)
  if (colon < end) cursor.at++
  let last = end
  while (cursor.at < last && isBlank(cursor.next)) cursor.at++
  while (last > cursor.at && isBlank(cursor.bytes[last - 1]!)) last--
  const value = cursor.text(last)
  const known = extra.get(key)
  if (known === undefined) extra.set(key, [value])
  else known.push(value)
  cursor.at = end + 1
}

function isBlank(byte: number): boolean {
  return byte === SPACE || byte === TAB
}
