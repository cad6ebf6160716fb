// /proc/PID/status and /proc/PID/task/TID/status: `Key:\tvalue` lines about a task (man 5 proc; proc_pid_status in
// fs/proc/array.c).
import { textOf } from '../../base/bytes.ts'
import { Cursor, Keys } from './cursor.ts'

const [NEWLINE, TAB, SPACE, COLON, SLASH, BACKSLASH, LETTER_N] = [0x0a, 0x09, 0x20, 0x3a, 0x2f, 0x5c, 0x6e]

/** Real, effective, saved and file system id. */
export type FourIds = [real: number, effective: number, saved: number, fs: number]

/**
 * A task's state. Ids are as the reader's user and pid namespace see them; sets of signals have signal N at bit N-1.
 */
export type Status = {
  /** At most 15 bytes, any but NUL, the file's escapes undone. */
  name: string
  /** One letter: R S D T t Z X I. */
  state: string
  tgid: number
  ngid: number
  pid: number
  ppid: number
  /** 0 when it is not traced. */
  tracerPid: number
  uid: FourIds
  gid: FourIds
  groups: number[]
  /** A pid for each pid namespace, outermost (the reader's) first; none without CONFIG_PID_NS. */
  nstgid: number[]
  nspid: number[]
  nspgid: number[]
  nssid: number[]
  /** Absent for a task that has left its files behind (zombie). */
  umask?: number
  /** Signals queued for the user, and how many may be; the limit of no limit is 2^64-1. */
  sigQ: { queued: number; limit: bigint }
  sigPnd: bigint
  shdPnd: bigint
  sigBlk: bigint
  sigIgn: bigint
  sigCgt: bigint
  capInh: bigint
  capPrm: bigint
  capEff: bigint
  capBnd: bigint
  capAmb: bigint
  noNewPrivs: boolean
  /** SECCOMP_MODE_*: 0 disabled, 1 strict, 2 filter; 0 on a kernel without seccomp. */
  seccomp: number
  /** How many filters; absent before Linux 5.9 and on a kernel without them. */
  seccompFilters?: number
  /** 0 for a task that was reaped as far as it can be. */
  threads: number
  /** Absent for a task without memory. */
  vmRSS_kb?: number
  /** Whether transparent huge pages are allowed (prctl PR_SET_THP_DISABLE); absent without memory. */
  thpEnabled?: boolean
  /** A kernel thread; false before Linux 6.9, which does not say. */
  kthread: boolean
}

/** What of a status makes credentials. */
export type CredentialLines = Pick<
  Status,
  'uid' | 'gid' | 'groups' | 'capInh' | 'capPrm' | 'capEff' | 'capBnd' | 'capAmb' | 'noNewPrivs'
>

/** What a thread may have of its own. */
export type ThreadStatus = Pick<Status, 'name' | 'nspid' | 'seccomp'> & {
  /** The leader's own object where the lines are the same. */
  readonly credentials: CredentialLines
}

/** A status file with what was read of it. */
export type KnownStatus = { readonly bytes: Uint8Array; readonly status: Status }

/** The lines whose equality is looked at, by the first of each block and the first behind it. */
const BLOCKS = [
  ['\nUid:', '\nNStgid:'],
  ['\nCapInh:', '\nCpus_allowed:'],
] as const

/** The status of a thread, by that of its leader: where both have the same credentials, those lines are not read again. */
export function parseThreadStatus(bytes: Uint8Array, leader: KnownStatus): ThreadStatus {
  const [own, theirs] = [asBuffer(bytes), asBuffer(leader.bytes)]
  const nspidAt = own.indexOf('\nNSpid:\t')
  const alike = nspidAt >= 0 && BLOCKS.every(([from, to]) => sameBlock(own, theirs, from, to))
  if (!alike) {
    const status = parseStatus(bytes)
    return { name: status.name, nspid: status.nspid, seccomp: status.seccomp, credentials: status }
  }
  const cursor = new Cursor(bytes, 'status')
  cursor.expectText('Name:\t')
  const name = unescapedName(cursor, cursor.lineEnd())
  cursor.at = nspidAt + '\nNSpid:\t'.length
  return {
    name,
    nspid: numbers(cursor, cursor.lineEnd()),
    seccomp: leader.status.seccomp,
    credentials: leader.status,
  }
}

const asBuffer = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)

function sameBlock(own: Buffer, theirs: Buffer, from: string, to: string): boolean {
  const [start, end] = [own.indexOf(from), own.indexOf(to)]
  const [theirStart, theirEnd] = [theirs.indexOf(from), theirs.indexOf(to)]
  return start >= 0 && start < end && theirStart >= 0 && theirs.compare(own, start, end, theirStart, theirEnd) === 0
}

// What a key's line does to the state. `needed` lines are in every status file of the kernels that we run on (5.4 on).
type Line = { needed: boolean; read: (cursor: Cursor, status: Status, end: number) => void }
const needed = (read: Line['read']): Line => ({ needed: true, read })
const optional = (read: Line['read']): Line => ({ needed: false, read })

const LINES: Readonly<Record<string, Line>> = {
  Name: needed((c, s, end) => void (s.name = unescapedName(c, end))),
  Umask: optional((c, s) => void (s.umask = c.octal())),
  State: needed((c, s, end) => void (s.state = stateLetter(c, end))),
  Tgid: needed((c, s) => void (s.tgid = c.decimal())),
  Ngid: optional((c, s) => void (s.ngid = c.decimal())),
  Pid: needed((c, s) => void (s.pid = c.decimal())),
  PPid: needed((c, s) => void (s.ppid = c.decimal())),
  TracerPid: needed((c, s) => void (s.tracerPid = c.decimal())),
  Uid: needed((c, s, end) => void (s.uid = fourIds(c, end))),
  Gid: needed((c, s, end) => void (s.gid = fourIds(c, end))),
  Groups: needed((c, s, end) => void (s.groups = numbers(c, end))),
  NStgid: optional((c, s, end) => void (s.nstgid = numbers(c, end))),
  NSpid: optional((c, s, end) => void (s.nspid = numbers(c, end))),
  NSpgid: optional((c, s, end) => void (s.nspgid = numbers(c, end))),
  NSsid: optional((c, s, end) => void (s.nssid = numbers(c, end))),
  Kthread: optional((c, s) => void (s.kthread = c.decimal() !== 0)),
  VmRSS: optional((c, s) => void (s.vmRSS_kb = padded(c))),
  THP_enabled: optional((c, s) => void (s.thpEnabled = c.decimal() !== 0)),
  Threads: needed((c, s) => void (s.threads = c.decimal())),
  SigQ: needed((c, s) => void (s.sigQ = signalQueue(c))),
  SigPnd: needed((c, s) => void (s.sigPnd = c.hex64())),
  ShdPnd: needed((c, s) => void (s.shdPnd = c.hex64())),
  SigBlk: needed((c, s) => void (s.sigBlk = c.hex64())),
  SigIgn: needed((c, s) => void (s.sigIgn = c.hex64())),
  SigCgt: needed((c, s) => void (s.sigCgt = c.hex64())),
  CapInh: needed((c, s) => void (s.capInh = c.hex64())),
  CapPrm: needed((c, s) => void (s.capPrm = c.hex64())),
  CapEff: needed((c, s) => void (s.capEff = c.hex64())),
  CapBnd: needed((c, s) => void (s.capBnd = c.hex64())),
  CapAmb: needed((c, s) => void (s.capAmb = c.hex64())),
  NoNewPrivs: needed((c, s) => void (s.noNewPrivs = c.decimal() !== 0)),
  Seccomp: optional((c, s) => void (s.seccomp = c.decimal())),
  Seccomp_filters: optional((c, s) => void (s.seccompFilters = c.decimal())),
}

const names = Object.keys(LINES)
const lines = Object.values(LINES)
const keys = new Keys(names)

/** Throws a BardoError `bug` on anything that is not a whole status file; keys that are not ours are passed over. */
export function parseStatus(bytes: Uint8Array): Status {
  const cursor = new Cursor(bytes, 'status')
  const status = blank()
  const seen: boolean[] = lines.map(() => false)
  while (!cursor.atEnd) {
    const end = cursor.lineEnd()
    const colon = cursor.find(COLON, end)
    if (colon === end) cursor.fail('a key and a colon')
    const key = keys.find(bytes, cursor.at, colon)
    if (key >= 0) {
      if (seen[key]) cursor.fail(`one line ${names[key]} only`)
      cursor.at = colon + 1
      cursor.expect(TAB)
      lines[key]!.read(cursor, status, end)
      // A space leads to a unit or to a word for humans: ` kB`, ` (running)`.
      if (cursor.at !== end && cursor.next !== SPACE) cursor.fail('the end of the value')
      seen[key] = true
    }
    cursor.at = end + 1
  }
  for (const [key, line] of lines.entries()) if (line.needed && !seen[key]) cursor.fail(`a line ${names[key]}`)
  return status
}

function blank(): Status {
  return {
    name: '',
    state: '',
    tgid: 0,
    ngid: 0,
    pid: 0,
    ppid: 0,
    tracerPid: 0,
    uid: [0, 0, 0, 0],
    gid: [0, 0, 0, 0],
    groups: [],
    nstgid: [],
    nspid: [],
    nspgid: [],
    nssid: [],
    sigQ: { queued: 0, limit: 0n },
    sigPnd: 0n,
    shdPnd: 0n,
    sigBlk: 0n,
    sigIgn: 0n,
    sigCgt: 0n,
    capInh: 0n,
    capPrm: 0n,
    capEff: 0n,
    capBnd: 0n,
    capAmb: 0n,
    noNewPrivs: false,
    seccomp: 0,
    threads: 0,
    kthread: false,
  }
}

function stateLetter(cursor: Cursor, end: number): string {
  return cursor.at < end ? cursor.text(cursor.at + 1) : cursor.fail('a letter')
}

function padded(cursor: Cursor): number {
  cursor.skip(SPACE)
  return cursor.decimal()
}

/** Numbers parted by tabs or spaces; `Groups` ends in a space, and has one alone for no groups. */
function numbers(cursor: Cursor, end: number): number[] {
  const list: number[] = []
  cursor.skip(SPACE)
  while (cursor.at < end) {
    list.push(cursor.decimal())
    if (cursor.at < end && !cursor.take(TAB)) cursor.expect(SPACE)
  }
  return list
}

function fourIds(cursor: Cursor, end: number): FourIds {
  const list = numbers(cursor, end)
  return list.length === 4 ? (list as FourIds) : cursor.fail('four ids')
}

function signalQueue(cursor: Cursor): Status['sigQ'] {
  const queued = cursor.decimal()
  cursor.expect(SLASH)
  return { queued, limit: cursor.decimal64() }
}

// Here, unlike in stat, the kernel writes a newline as `\n` and a backslash as `\\`, and nothing else changed.
// test: status.test.ts sets such names and reads them back.
function unescapedName(cursor: Cursor, end: number): string {
  const { bytes } = cursor
  const out = new Uint8Array(end - cursor.at)
  let at = cursor.at
  let used = 0
  while (at < end) {
    const escape = bytes[at] === BACKSLASH && at + 1 < end ? bytes[at + 1] : -1
    const undone = escape === BACKSLASH || escape === LETTER_N
    out[used++] = undone ? (escape === LETTER_N ? NEWLINE : BACKSLASH) : bytes[at]!
    at += undone ? 2 : 1
  }
  cursor.at = end
  return textOf(out.subarray(0, used))
}
