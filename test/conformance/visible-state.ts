// What a tree of processes looks like from outside, in /proc: the same before a dump and after its restore.
// Only what is meant to stay is listed here; times, counters and kernel-chosen inode numbers are left out or renumbered.
import { closeSync, openSync, readdirSync, readFileSync, readlinkSync, readSync } from 'node:fs'
import { syscall } from '../../src/linux/ffi.ts'
import { NR } from '../../src/linux/nr.ts'

const KCMP_FILE = 0
/** open(2) adds it by itself on 64-bit machines, other ways to get a descriptor do not: it means nothing. */
const O_LARGEFILE = 0o100000

/** Lines of /proc/PID/status that a restore must bring back. Not here: sizes of memory, counters, FDSize. */
const statusLines = new Set([
  'Name',
  'Umask',
  'Tgid',
  'Pid',
  'PPid',
  'TracerPid',
  'Uid',
  'Gid',
  'Groups',
  'NSpid',
  'Threads',
  'SigPnd',
  'ShdPnd',
  'SigBlk',
  'SigIgn',
  'SigCgt',
  'CapInh',
  'CapPrm',
  'CapEff',
  'CapBnd',
  'CapAmb',
  'NoNewPrivs',
  'Seccomp',
  'Seccomp_filters',
  'THP_enabled',
  'x86_Thread_features',
  'Cpus_allowed',
])

/** Fields of /proc/PID/stat by their numbers in proc(5). */
const statFields = {
  ppid: 4,
  pgrp: 5,
  session: 6,
  tty_nr: 7,
  tpgid: 8,
  nice: 19,
  num_threads: 20,
  vsize: 23,
  startcode: 26,
  endcode: 27,
  startstack: 28,
  exit_signal: 38,
  rt_priority: 40,
  policy: 41,
  start_data: 45,
  end_data: 46,
  start_brk: 47,
  arg_start: 48,
  arg_end: 49,
  env_start: 50,
  env_end: 51,
} as const

// `sd`: soft dirty, which is about time and not about state. `ac`: the mapping was writable once, if only to be filled.
const unstableVmFlags = new Set(['sd', 'ac'])

/** Bytes as text, one character each: names may be anything. */
const read = (path: string): string => {
  try {
    return readFileSync(path, 'latin1')
  } catch (error) {
    return `(${(error as NodeJS.ErrnoException).code})`
  }
}

const link = (path: string): string => {
  try {
    return readlinkSync(path, 'latin1')
  } catch (error) {
    return `(${(error as NodeJS.ErrnoException).code})`
  }
}

/** The children of a process, whichever of its threads made them. */
export const childrenOf = (pid: number): number[] =>
  list(`/proc/${pid}/task`)
    .flatMap(tid => read(`/proc/${pid}/task/${tid}/children`).split(' '))
    .filter(text => /^\d+$/.test(text))
    .map(Number)

const list = (path: string): string[] => {
  try {
    return readdirSync(path)
  } catch {
    return []
  }
}

/** Gives things the kernel numbers as it likes the numbers 1, 2, … in the order in which they are met. */
class Renumbered {
  #known = new Map<string, string>()

  of(kind: string, id: string): string {
    const key = `${kind} ${id}`
    let name = this.#known.get(key)
    if (name === undefined) {
      name = `#${[...this.#known.keys()].filter(other => other.startsWith(`${kind} `)).length + 1}`
      this.#known.set(key, name)
    }
    return name
  }
}

interface OpenDescription {
  readonly pid: number
  readonly fd: number
  readonly link: string
}

function parseStat(text: string): Record<string, string> {
  // The name may hold spaces and parentheses: fields are counted from the last one.
  const rest = text
    .slice(text.lastIndexOf(')') + 2)
    .trim()
    .split(' ')
  const state = rest[0] ?? '?'
  const fields: Record<string, string> = {
    comm: text.slice(text.indexOf('(') + 1, text.lastIndexOf(')')),
    state: state === 'T' || state === 'Z' ? state : 'alive',
  }
  for (const [name, number] of Object.entries(statFields)) fields[name] = rest[number - 3] ?? ''
  if (state === 'Z') fields['exit_code'] = rest[52 - 3] ?? ''
  return fields
}

/** Where it is not in the root of a hierarchy: hierarchies come and go with other work on the machine. */
const cgroupsOf = (text: string): string[] =>
  text
    .split('\n')
    .map(line => line.replace(/^\d+:/, ''))
    .filter(line => line !== '' && !line.endsWith(':/'))

const parseStatus = (text: string): string[] => text.split('\n').filter(line => statusLines.has(line.split(':')[0]!))

interface Mapping {
  readonly start: number
  readonly end: number
  readonly offset: number
  readonly attributes: string
  readonly ofFile: boolean
}

/** Neighbours that are alike: the kernel keeps them apart or joins them for reasons of its own (anon_vma). */
function joined(mappings: readonly Mapping[]): string[] {
  const result: Mapping[] = []
  for (const next of mappings) {
    const last = result.at(-1)
    const follows =
      last !== undefined &&
      last.end === next.start &&
      last.attributes === next.attributes &&
      (!last.ofFile || last.offset + (last.end - last.start) === next.offset)
    if (follows) result[result.length - 1] = { ...last, end: next.end }
    else result.push(next)
  }
  return result.map(
    one => `${one.start.toString(16)}-${one.end.toString(16)} ${one.offset.toString(16)} ${one.attributes}`,
  )
}

function readMaps(pid: number, ids: Renumbered): string[] {
  const mappings: Mapping[] = []
  for (const line of read(`/proc/${pid}/smaps`).split('\n')) {
    const head = /^([0-9a-f]+-[0-9a-f]+) (\S+) ([0-9a-f]+) (\S+) (\d+) *(.*)$/.exec(line)
    if (head) {
      const [, range, protection, offset, device, inode, file] = head
      // Anonymous shared memory may come back as a memfd (CRIU does so): it behaves the same.
      const name = /^\/memfd:(\/dev\/zero)? \(deleted\)$/.test(file!) ? '/dev/zero (deleted)' : file
      const shared = /^(\/dev\/zero|\/memfd:|\/SYSV|\/\[aio|\[anon_shmem)/.test(name!) && protection!.endsWith('s')
      // A deleted file is made again: another inode of the same name.
      const anew = shared || name!.endsWith(' (deleted)')
      const object = anew ? ids.of('shmem', `${device} ${inode}`) : `${device} ${inode}`
      const [start, end] = range!.split('-').map(text => parseInt(text, 16)) as [number, number]
      const attributes = `${protection} ${object} ${name}`
      mappings.push({ start, end, offset: parseInt(offset!, 16), attributes, ofFile: inode !== '0' })
    } else if (line.startsWith('VmFlags:')) {
      const flags = line
        .slice(8)
        .trim()
        .split(' ')
        .filter(flag => !unstableVmFlags.has(flag))
      const last = mappings.pop()!
      mappings.push({ ...last, attributes: `${last.attributes} {${flags.join(' ')}}` })
    }
  }
  return joined(mappings)
}

function readFiles(pid: number, ids: Renumbered, seen: OpenDescription[]): Record<string, string> {
  const files: Record<string, string> = {}
  for (const name of list(`/proc/${pid}/fd`).toSorted((a, b) => Number(a) - Number(b))) {
    const fd = Number(name)
    const target = link(`/proc/${pid}/fd/${fd}`)
    const shown = target.replace(
      /^(pipe|socket|anon_inode|\/memfd:[^[]*):?\[(\d+)\]$/,
      (_, kind, inode) => `${kind}:[${ids.of(kind, inode)}]`,
    )
    const info = read(`/proc/${pid}/fdinfo/${fd}`)
    const position = /^pos:\s*(\d+)/m.exec(info)?.[1] ?? '?'
    const flags = parseInt(/^flags:\s*(\d+)/m.exec(info)?.[1] ?? '0', 8)
    const same = seen.find(
      other => other.link === target && syscall(NR.kcmp, other.pid, pid, KCMP_FILE, other.fd, fd) === 0,
    )
    if (same === undefined) seen.push({ pid, fd, link: target })
    const description = same === undefined ? 'own' : `shared with ${same.pid}:${same.fd}`
    files[name] = `${shown} pos ${position} flags 0${(flags & ~O_LARGEFILE).toString(8)} ${description}`
  }
  return files
}

/** The pids of a tree, root first, in the order of its branches. */
export function treeOf(root: number): number[] {
  return [
    root,
    ...childrenOf(root)
      .toSorted((a, b) => a - b)
      .flatMap(treeOf),
  ]
}

export type VisibleState = Record<string, unknown>

/** Looks at the tree under `root`. */
export function look(root: number): VisibleState {
  const ids = new Renumbered()
  const descriptions: OpenDescription[] = []
  const tasks: VisibleState = {}
  for (const pid of treeOf(root)) {
    const at = `/proc/${pid}`
    const stat = parseStat(read(`${at}/stat`))
    if (stat['state'] === 'Z') {
      // Of a zombie only this much can still be asked for by anyone.
      const { comm, state, ppid, pgrp, session, exit_signal, exit_code } = stat
      tasks[pid] = { comm, state, ppid, pgrp, session, exit_signal, exit_code }
      continue
    }
    const threads: VisibleState = {}
    for (const tid of list(`${at}/task`)) {
      const { nice, rt_priority, policy } = parseStat(read(`${at}/task/${tid}/stat`))
      threads[tid] = { status: parseStatus(read(`${at}/task/${tid}/status`)), nice, rt_priority, policy }
    }
    tasks[pid] = {
      stat,
      threads,
      maps: readMaps(pid, ids),
      files: readFiles(pid, ids, descriptions),
      limits: read(`${at}/limits`),
      cwd: link(`${at}/cwd`),
      root: link(`${at}/root`),
      exe: link(`${at}/exe`),
      cmdline: read(`${at}/cmdline`),
      environ: read(`${at}/environ`),
      auxv: Buffer.from(read(`${at}/auxv`), 'latin1').toString('hex'),
      personality: read(`${at}/personality`),
      oom_score_adj: read(`${at}/oom_score_adj`),
      cgroups: cgroupsOf(read(`${at}/cgroup`)),
    }
  }
  return tasks
}

/** Up to `size` bytes of a process's memory. */
export function peek(pid: number, address: bigint, size: number): Uint8Array {
  const fd = openSync(`/proc/${pid}/mem`, 'r')
  try {
    const bytes = new Uint8Array(size)
    return bytes.subarray(0, readSync(fd, bytes, 0, size, Number(address)))
  } finally {
    closeSync(fd)
  }
}
