// What the kernel tells of each stopped task, read once, as plain facts.
import { BardoError } from '../base/errors.ts'
import { textOf } from '../base/bytes.ts'
import { AT_FDCWD, ENOENT } from '../linux/constants.ts'
import { parseAuxv } from '../linux/proc/auxv.ts'
import { parseLimits, type Limit } from '../linux/proc/limits.ts'
import { parseMappingFlags, type FlaggedMapping } from '../linux/proc/smaps.ts'
import { parseStat, type Stat } from '../linux/proc/stat.ts'
import { parseStatus, parseThreadStatus, type Status, type ThreadStatus } from '../linux/proc/status.ts'
import { parseTimers, type PosixTimer } from '../linux/proc/timers.ts'
import { readFile, readOnce } from '../linux/sys.ts'
import type { Process, Thread } from '../tracee/stopped.ts'

function read(path: string, once = false): Uint8Array {
  const bytes = readFile(AT_FDCWD, path, [], once)
  if (bytes === undefined) throw new BardoError('lost', `${path} is gone`)
  return bytes
}

export type ThreadFacts = {
  readonly thread: Thread
  readonly status: ThreadStatus
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
  const stat = parseStat(read(`/proc/${pid}/stat`, true))
  const bytes = read(`/proc/${pid}/status`, true)
  const status = parseStatus(bytes)
  const threads = process.threads.map((thread): ThreadFacts => {
    const own = thread.tid === pid ? bytes : read(`/proc/${pid}/task/${thread.tid}/status`, true)
    return { thread, status: parseThreadStatus(own, { bytes, status }) }
  })
  const loginuid = readOnce(AT_FDCWD, `/proc/${pid}/loginuid`, [ENOENT])
  return {
    process,
    pid,
    comm: stat.comm,
    stat,
    status,
    threads,
    mappings: parseMappingFlags(read(`/proc/${pid}/smaps`)),
    auxv: parseAuxv(read(`/proc/${pid}/auxv`)),
    limits: parseLimits(read(`/proc/${pid}/limits`, true)),
    timers: parseTimers(readOnce(AT_FDCWD, `/proc/${pid}/timers`, [ENOENT]) ?? new Uint8Array()),
    personality: parseInt(textOf(read(`/proc/${pid}/personality`, true)), 16),
    oom_score_adj: integer(readOnce(AT_FDCWD, `/proc/${pid}/oom_score_adj`)),
    loginuid: loginuid === undefined ? undefined : integer(loginuid),
  }
}

export const readZombie = (pid: number): Stat => parseStat(read(`/proc/${pid}/stat`))
