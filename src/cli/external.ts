// The spellings of objects outside the image: `--external RES` and `--inherit-fd fd[N]:RES`.
// CRIU writes ttys and files without a colon and pipes and sockets with one; both are taken for all of them, in
// hexadecimal where CRIU prints hexadecimal, with or without 0x.
import { BardoError } from '../base/errors.ts'
import { externalKey, type External, type Inherited } from '../base/options.ts'

const PAIR = /^(tty|file):?\[(?:0x)?([0-9a-f]{1,16}):(?:0x)?([0-9a-f]{1,16})\]$/i
const INODE = /^(pipe|socket|unix):?\[([0-9]{1,20})\]$/
// A name in brackets, then a value; mount points may hold brackets themselves.
const NAMED = /^(mnt|dev|net|pid|veth|macvlan|netdev)\[(.*?)\](?::(.*))?$/s

const FORMS = 'tty[RDEV:DEV], pipe:[INODE], socket:[INODE], unix[INODE], file[MNT_ID:INODE] or a path'

function bad(option: string, text: string, why: string): BardoError {
  return new BardoError('usage', `invalid argument of ${option}: '${text}'`, { why, hint: `write ${FORMS}` })
}

/** Reads one resource name; undefined when it has none of the bracketed forms. */
function bracketed(text: string, option: string): External | undefined {
  const pair = PAIR.exec(text)
  if (pair) {
    const [, type, first, second] = pair as unknown as [string, string, string, string]
    if (type.toLowerCase() === 'file') return { kind: 'file', mnt_id: parseInt(first, 16), ino: BigInt(`0x${second}`) }
    const [rdev, dev] = [parseInt(first, 16), parseInt(second, 16)]
    if (!Number.isSafeInteger(rdev) || !Number.isSafeInteger(dev)) throw bad(option, text, 'the number is too large')
    return { kind: 'tty', rdev, dev }
  }
  const inode = INODE.exec(text)
  if (inode) {
    const ino = Number(inode[2])
    if (!Number.isSafeInteger(ino)) throw bad(option, text, 'the number is too large')
    return { kind: inode[1] as 'pipe' | 'socket' | 'unix', ino }
  }
  const named = NAMED.exec(text)
  if (named) return { kind: 'other', type: named[1]!, id: named[2]!, value: named[3] }
  return undefined
}

/** What `--external` names. */
export function parseExternal(text: string, option = '--external'): External {
  const found = bracketed(text, option)
  if (found) return found
  // A word before a bracket was meant as a kind: taking it as a path would hide the slip.
  if (/^[a-z]+:?\[/.test(text)) throw bad(option, text, 'no such kind of resource, or not the numbers that it takes')
  if (text === '') throw bad(option, text, 'it is empty')
  // Images name files without the leading slash, and memfds as /memfd:NAME.
  const path = text.startsWith('/memfd:') ? text : text.replace(/^\/+/, '')
  if (path === '') throw bad(option, text, 'it is the root directory')
  return { kind: 'path', path }
}

/**
 * What `--inherit-fd` says. A restore needs `fd[N]:RES`; for a dump the number has no meaning and may be left out, as in
 * `fd:tty:[8800:d]`.
 */
export function parseInherited(text: string, command: 'dump' | 'restore'): Inherited {
  const option = '--inherit-fd'
  const match = /^fd(?:\[([0-9]{1,7})\])?:(.+)$/s.exec(text)
  if (!match) {
    throw new BardoError('usage', `invalid argument of ${option}: '${text}'`, {
      hint:
        command === 'dump' ? "write fd:RES, such as 'fd:tty:[8800:d]'" : "write fd[N]:RES, such as 'fd[1]:tty[8800:d]'",
    })
  }
  if (command === 'restore' && match[1] === undefined) {
    throw new BardoError('usage', `${option} '${text}' does not say which descriptor to use`, {
      hint: `name one of your descriptors: 'fd[1]:${match[2]}'`,
    })
  }
  const resource = parseExternal(match[2]!, option)
  return {
    fd: match[1] === undefined ? undefined : Number(match[1]),
    resource,
    key: externalKey(resource),
  }
}
