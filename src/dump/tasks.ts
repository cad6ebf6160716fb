// What the kernel tells of each stopped task, read once, as plain facts.
import { BardoError } from '../base/errors.ts'
import { textOf } from '../base/bytes.ts'
import { AT_FDCWD, ENOENT } from '../linux/constants.ts'
import { parseAuxv } from '../linux/proc/auxv.ts'
import { parseLimits, type Limit } from '../linux/proc/limits.ts'
import { parseMappingFlags, type FlaggedMapping } from '../linux/proc/smaps.ts'
import { parseStat, type Stat } from '../linux/proc/stat.ts'
import { parseStatus, type Status } from '../linux/proc/status.ts'
import { parseTimers, type PosixTimer } from '../linux/proc/timers.ts'
import { readFile } from '../linux/sys.ts'
import type { Process, Thread } from '../tracee/stopped.ts'

function read(path: string): Uint8Array {
  const bytes = readFile(AT_FDCWD, path)
  if (bytes === undefined) throw new BardoError('lost', `${path} is gone`)
  return bytes
}

export type ThreadFacts = {
  readonly thread: Thread
  readonly status: Status
}

export type ProcessFacts = {
  readonly process: Process
  readonly pid: number
  readonly comm: string
  readonly stat: Stat
  readonly status: Status
  readonly threads: readonly ThreadFacts[]
  readonly mappings: readonly FlaggedMapping[]
  readonly auxv: readonly bigint[]
  readonly limits: readonly Limit[]
  readonly timers: readonly PosixTimer[]
  readonly personality: number
  readonly oom_score_adj: number
  readonly loginuid: number | undefined
}

const integer = (bytes: Uint8Array | undefined): number => Number(textOf(bytes ?? new Uint8Array()).trim())

export const whereOf = (facts: { pid: number; comm: string }): string =>
  `pid ${facts.pid} ${JSON.stringify(facts.comm)}`

export function readProcess(process: Process): ProcessFacts {
  const { pid } = process
  const stat = parseStat(read(`/proc/${pid}/stat`))
  const threads = process.threads.map((thread): ThreadFacts => {
    const task = `/proc/${pid}/task/${thread.tid}`
    return { thread, status: parseStatus(read(`${task}/status`)) }
  })
  const loginuid = readFile(AT_FDCWD, `/proc/${pid}/loginuid`, [ENOENT])
  return {
    process,
    pid,
    comm: stat.comm,
    stat,
    status: threads[0]!.status,
    threads,
    mappings: parseMappingFlags(read(`/proc/${pid}/smaps`)),
    auxv: parseAuxv(read(`/proc/${pid}/auxv`)),
    limits: parseLimits(read(`/proc/${pid}/limits`)),
    timers: parseTimers(readFile(AT_FDCWD, `/proc/${pid}/timers`, [ENOENT]) ?? new Uint8Array()),
    personality: parseInt(textOf(read(`/proc/${pid}/personality`)), 16),
    oom_score_adj: integer(readFile(AT_FDCWD, `/proc/${pid}/oom_score_adj`)),
    loginuid: loginuid === undefined ? undefined : integer(loginuid),
  }
}

export const readZombie = (pid: number): Stat => parseStat(read(`/proc/${pid}/stat`))
