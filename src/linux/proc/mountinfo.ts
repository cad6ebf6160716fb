// /proc/PID/mountinfo: the mounts of a process's mount namespace that its root can reach (man 5 proc; show_mountinfo in
// fs/proc_namespace.c).
import { Cursor, unescapeOctal } from './cursor.ts'

const [NEWLINE, SPACE, COLON, COMMA] = [0x0a, 0x20, 0x3a, 0x2c]

export type Mount = {
  id: number
  /** The mount it is mounted on; of the topmost, one that is not in the list. */
  parent: number
  major: number
  minor: number
  /** The folder in the file system that is the root of this mount; `net:[4026531840]` and the like for nsfs. */
  root: string
  /** Relative to the process's root. */
  mountpoint: string
  /** Of the mount: `rw`, `nosuid`, ... */
  options: string[]
  /** How it takes part in propagation: peer groups by number. */
  optional: { shared?: number; master?: number; propagate_from?: number; unbindable?: boolean }
  /** With its subtype, `fuse.sshfs`. */
  fstype: string
  /** `none` where there is none; may be empty. */
  source: string
  /** Of the file system: `size=4k`, ... A comma inside of a value is the value's. */
  superOptions: string[]
}

/**
 * The mounts in the file's order, octal escapes undone. Throws a BardoError `bug` on anything that is not mountinfo.
 */
export function parseMountinfo(bytes: Uint8Array): Mount[] {
  const cursor = new Cursor(bytes, 'mountinfo')
  const mounts: Mount[] = []
  while (!cursor.atEnd) mounts.push(parseMount(cursor))
  return mounts
}

function parseMount(cursor: Cursor): Mount {
  const end = cursor.lineEnd()
  const id = cursor.decimal()
  cursor.expect(SPACE)
  const parent = cursor.decimal()
  cursor.expect(SPACE)
  const major = cursor.decimal()
  cursor.expect(COLON)
  const minor = cursor.decimal()
  cursor.expect(SPACE)
  const root = field(cursor, end)
  const mountpoint = field(cursor, end)
  const options = list(cursor, end)
  const optional = optionalFields(cursor, end)
  const fstype = field(cursor, end)
  const source = field(cursor, end)
  const superOptions = list(cursor, end, true)
  cursor.expect(NEWLINE)
  return { id, parent, major, minor, root, mountpoint, options, optional, fstype, source, superOptions }
}

/** Text up to the next space, which is passed. One space parts two fields: a field may be empty. */
function field(cursor: Cursor, end: number): string {
  const stop = cursor.find(SPACE, end)
  const text = unescapeOctal(cursor.bytes, cursor.at, stop)
  cursor.at = stop
  cursor.expect(SPACE)
  return text
}

/** Texts parted by commas. They are parted before escapes are undone: a comma inside of a value comes as `\054`. */
function list(cursor: Cursor, end: number, last = false): string[] {
  // The last field goes to the end of the line, whatever a file system's own show_options put into it.
  const stop = last ? end : cursor.find(SPACE, end)
  const items: string[] = []
  while (cursor.at < stop) {
    const comma = cursor.find(COMMA, stop)
    items.push(unescapeOctal(cursor.bytes, cursor.at, comma))
    cursor.at = comma < stop ? comma + 1 : stop
  }
  if (!last) cursor.expect(SPACE)
  return items
}

/** `shared:N`, `master:N`, `propagate_from:N`, `unbindable`, and what comes later, up to the lone `-`. */
function optionalFields(cursor: Cursor, end: number): Mount['optional'] {
  const optional: Mount['optional'] = {}
  for (;;) {
    const stop = cursor.find(SPACE, end)
    const colon = cursor.find(COLON, stop)
    const tag = cursor.text(colon)
    if (colon < stop) cursor.expect(COLON)
    if (tag === 'shared' || tag === 'master' || tag === 'propagate_from') optional[tag] = cursor.decimal()
    else if (tag === 'unbindable') optional.unbindable = true
    else cursor.at = stop // The manual asks to pass over tags that are not known.
    cursor.expect(SPACE)
    if (tag === '-' && colon === stop) return optional
  }
}
