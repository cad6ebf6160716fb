// One stopped process, asked about itself and put into messages.
import { BardoError } from '../base/errors.ts'
import type { core_entry, task_kobj_ids_entry, thread_core_entry } from '../image/messages/core.ts'
import type { creds_entry } from '../image/messages/creds.ts'
import type { user_x86_fpregs_entry } from '../image/messages/arch/x86.ts'
import type { mm_entry } from '../image/messages/mm.ts'
import {
  ERESTART_RESTARTBLOCK,
  PR_GET_CHILD_SUBREAPER,
  PR_GET_DUMPABLE,
  PR_GET_PDEATHSIG,
  PR_GET_THP_DISABLE,
} from '../linux/constants.ts'
import type { Stat } from '../linux/proc/stat.ts'
import { askActions } from '../kinds/task/actions.ts'
import { askSecurebits, credentialsOf } from '../kinds/task/credentials.ts'
import { limitsToImage } from '../kinds/task/limits.ts'
import { readPending } from '../kinds/task/pending.ts'
import { isDeadline, readScheduling } from '../kinds/task/scheduling.ts'
import { MODE_FILTER, type FilterTable } from '../kinds/task/seccomp.ts'
import { timeLeft, timedCallOf } from '../tracee/timed-call.ts'
import { askTimers } from '../kinds/task/timers.ts'
import { askAltStack, askClearTid, readRobustList, rseqToImage } from '../kinds/task/user-areas.ts'
import {
  TLS_ENTRIES,
  descFromKernel,
  registersToImage,
  runs32BitCode,
  xstateToImage,
} from '../kinds/task/x86-registers.ts'
import { getThreadArea, getXstate } from '../tracee/ptrace.ts'
import type { Remote } from '../tracee/remote.ts'
import type { Table } from '../tracee/table.ts'
import type { Question } from '../kinds/task/question.ts'
import { whereOf, type ProcessFacts, type ThreadFacts } from './tasks.ts'

/** CRIU's task states. */
export const TASK = { ALIVE: 1, DEAD: 2, STOPPED: 3 } as const

/** Room for the table of the questions that a process answers once, and for that of each thread. */
export const PROCESS_TABLE_SIZE = 16 << 10
export const THREAD_TABLE_SIZE = 1024
/** Threads whose tables run at the same time. */
const THREADS_AT_ONCE = 128

/** MEMBARRIER_CMD_GET_REGISTRATIONS, Linux 6.3. */
const GET_REGISTRATIONS = 1 << 9

const askWord =
  (option: number): Question<number> =>
  table => {
    const at = table.take(8)
    table.call('prctl', [option, at])
    return () => table.word32(at)
  }

function askProcess(table: Table, facts: ProcessFacts) {
  const answers = {
    actions: askActions(facts.status.sigIgn | facts.status.sigCgt)(table),
    timers: askTimers(facts.timers)(table),
    subreaper: askWord(PR_GET_CHILD_SUBREAPER)(table),
  }
  const brk = table.call('brk', [0])
  const dumpable = table.call('prctl', [PR_GET_DUMPABLE])
  const thp = table.call('prctl', [PR_GET_THP_DISABLE, 0, 0, 0, 0], { mayFail: true })
  const barriers = table.call('membarrier', [GET_REGISTRATIONS, 0, 0], { mayFail: true })
  return () => ({
    actions: answers.actions(),
    timers: answers.timers(),
    subreaper: answers.subreaper() !== 0,
    brk: BigInt(table.result(brk)),
    dumpable: table.result(dumpable),
    thpDisabled: table.result(thp) === 1,
    membarrier: Math.max(0, table.result(barriers)),
  })
}

export type ProcessAnswers = ReturnType<ReturnType<typeof askProcess>>

function askThread(table: Table) {
  const altStack = askAltStack(table)
  const clearTid = askClearTid(table)
  const secbits = askSecurebits(table)
  const pdeathsig = askWord(PR_GET_PDEATHSIG)(table)
  return () => ({ altStack: altStack(), clearTid: clearTid(), secbits: secbits(), pdeathsig: pdeathsig() })
}

export type ThreadAnswers = ReturnType<ReturnType<typeof askThread>>

/** How much scratch memory the questions need. */
export const scratchSize = (facts: ProcessFacts): number =>
  PROCESS_TABLE_SIZE + facts.timers.length * 256 + Math.min(facts.threads.length, THREADS_AT_ONCE) * THREAD_TABLE_SIZE

/** Asks a process and its threads; threads answer side by side. */
export function ask(remote: Remote, facts: ProcessFacts): { process: ProcessAnswers; threads: ThreadAnswers[] } {
  const processEnd = remote.start + PROCESS_TABLE_SIZE + facts.timers.length * 256
  let process: ProcessAnswers
  {
    using table = remote.table(facts.process.leader, remote.start, processEnd)
    const answers = askProcess(table, facts)
    table.run()
    facts.process.leader.giveBack()
    process = answers()
  }
  const threads: ThreadAnswers[] = []
  for (let first = 0; first < facts.threads.length; first += THREADS_AT_ONCE) {
    const tables: Table[] = []
    const batch = facts.threads.slice(first, first + THREADS_AT_ONCE).map(({ thread }, index) => {
      const start = processEnd + index * THREAD_TABLE_SIZE
      const table = remote.table(thread, start, start + THREAD_TABLE_SIZE)
      tables.push(table)
      const answers = askThread(table)
      table.start()
      return { table, thread, answers }
    })
    for (const { table, thread, answers } of batch) {
      table.finish()
      // At once: the next tables lie where a thread that we are lost by now would look for its registers.
      thread.giveBack()
      threads.push(answers())
    }
    for (const table of tables.toReversed()) table[Symbol.dispose]()
  }
  return { process, threads }
}

function threadCore(
  facts: ThreadFacts,
  answers: ThreadAnswers,
  filters: FilterTable,
  creds: creds_entry,
  where: string,
): thread_core_entry {
  const { thread, status } = facts
  const scheduling = readScheduling(thread.tid)
  if (isDeadline(scheduling.sched_policy))
    throw new BardoError('unsupported', 'SCHED_DEADLINE is not supported', {
      where,
      hint: 'give the thread another policy (chrt)',
    })
  const robust = readRobustList(thread.tid)
  const rseq = rseqToImage(thread.rseq)
  const timed = thread.restart === ERESTART_RESTARTBLOCK ? timedCallOf(thread) : undefined
  const left = timed === undefined ? undefined : timeLeft(thread, timed)
  return {
    futex_rla: robust.head,
    futex_rla_len: robust.length,
    ...scheduling,
    blk_sigset: thread.sigmask,
    sas: answers.altStack,
    ...(answers.pdeathsig === 0 ? {} : { pdeath_sig: answers.pdeathsig }),
    signals_p: readPending(thread.tid, false),
    creds,
    ...(status.seccomp === 0 ? {} : { seccomp_mode: status.seccomp }),
    ...(status.seccomp === MODE_FILTER ? { seccomp_filter: filters.read(thread.tid) } : {}),
    comm: status.name,
    ...(rseq === undefined ? {} : { rseq_entry: rseq }),
    ...(timed === undefined ? {} : { timed_call: timed }),
    ...(left === undefined ? {} : { timed_left_ns: left }),
  }
}

function threadInfo(facts: ThreadFacts, answers: ThreadAnswers, where: string): NonNullable<core_entry['thread_info']> {
  const { thread } = facts
  if (runs32BitCode(thread.registers))
    throw new BardoError('unsupported', '32-bit code is not supported', {
      where,
      hint: 'run a 64-bit build of the program',
    })
  const regs = thread.resumable('eintr')
  return {
    clear_tid_addr: answers.clearTid,
    gpregs: registersToImage(regs),
    // Filled in when the images are written: it is much work, and the tree may run on by then.
    fpregs: NO_FPREGS,
    tls: TLS_ENTRIES.flatMap(entry => {
      const desc = getThreadArea(thread.tid, entry)
      return desc === undefined ? [] : [descFromKernel(desc)]
    }),
  }
}

/** A thread's core; its FPU and vector state is as the kernel gave it, until `finishCore`. */
export type Core = { readonly tid: number; readonly core: core_entry; readonly xstate: Uint8Array }

const NO_FPREGS = {} as user_x86_fpregs_entry

/** The whole core of a thread. */
export function finishCore({ core, xstate }: Core): core_entry {
  core.thread_info!.fpregs = xstateToImage(xstate)
  return core
}

/** The core images of a process, its leader's first; reading what can be read from outside. */
export function coresOf(
  facts: ProcessFacts,
  answers: { process: ProcessAnswers; threads: ThreadAnswers[] },
  ids: task_kobj_ids_entry,
  filters: FilterTable,
): Core[] {
  const where = whereOf(facts)
  const leaders = credentialsOf(facts.status, answers.threads[0]!.secbits)
  return facts.threads.map((thread, index) => {
    const place = index === 0 ? where : `${where}, thread ${thread.thread.tid}`
    const own = answers.threads[index]!
    const { credentials } = thread.status
    // One object where they are the leader's: it is written but once.
    const creds =
      credentials === facts.status && own.secbits === leaders.secbits
        ? leaders
        : credentialsOf(credentials, own.secbits)
    const core: core_entry = {
      mtype: 1,
      thread_info: threadInfo(thread, own, place),
      thread_core: threadCore(thread, own, filters, creds, place),
    }
    if (index === 0) {
      const { process } = answers
      const stopped = facts.process.leader.groupStop
      core.tc = {
        task_state: stopped === 0 ? TASK.ALIVE : TASK.STOPPED,
        exit_code: 0,
        personality: facts.personality,
        flags: facts.stat.flags,
        blk_sigset: thread.thread.sigmask,
        comm: facts.comm,
        timers: process.timers,
        rlimits: { rlimits: limitsToImage(facts.limits) },
        signals_s: readPending(facts.pid, true),
        ...(facts.loginuid === undefined ? {} : { loginuid: facts.loginuid }),
        oom_score_adj: facts.oom_score_adj,
        sigactions: process.actions,
        child_subreaper: process.subreaper,
        ...(stopped === 0 ? {} : { stop_signo: stopped }),
        ...(process.membarrier === 0 ? {} : { membarrier_registration_mask: process.membarrier }),
      }
      core.ids = ids
    }
    return { tid: thread.thread.tid, core, xstate: getXstate(thread.thread.tid) }
  })
}

/** A zombie's core: its exit status is all that is left of it, with its name. */
export const zombieCore = (stat: Stat): core_entry => ({
  mtype: 1,
  tc: {
    task_state: TASK.DEAD,
    exit_code: stat.exit_code,
    personality: 0,
    flags: 0,
    blk_sigset: 0n,
    comm: stat.comm,
    sigactions: [],
  },
})

/** The fields of the address space, without its mappings. */
export function mmFields(facts: ProcessFacts, answers: ProcessAnswers, exeFileId: number): Omit<mm_entry, 'vmas'> {
  const { stat } = facts
  return {
    mm_start_code: BigInt(stat.start_code),
    mm_end_code: BigInt(stat.end_code),
    mm_start_data: BigInt(stat.start_data),
    mm_end_data: BigInt(stat.end_data),
    mm_start_stack: BigInt(stat.start_stack),
    mm_start_brk: BigInt(stat.start_brk),
    mm_brk: answers.brk,
    mm_arg_start: BigInt(stat.arg_start),
    mm_arg_end: BigInt(stat.arg_end),
    mm_env_start: BigInt(stat.env_start),
    mm_env_end: BigInt(stat.env_end),
    exe_file_id: exeFileId,
    mm_saved_auxv: auxvPairs(facts.auxv),
    dumpable: answers.dumpable,
    aios: [],
    thp_disabled: answers.thpDisabled,
  }
}

/** The auxiliary vector up to its AT_NULL: CRIU refuses the whole of the kernel's buffer, which is longer. */
function auxvPairs(auxv: readonly bigint[]): bigint[] {
  let end = 0
  while (end + 1 < auxv.length && auxv[end] !== 0n) end += 2
  return auxv.slice(0, end)
}
