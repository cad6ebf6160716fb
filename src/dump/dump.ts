// A dump: stop the tree, ask it, find what is shared, write it down, let it go.
import { textOf } from '../base/bytes.ts'
import { asBardoError, BardoError, renderLine, Report } from '../base/errors.ts'
import { interrupted } from '../base/interrupt.ts'
import { log } from '../base/log.ts'
import type { DumpOptions } from '../base/options.ts'
import { progress } from '../base/progress.ts'
import { now_ms } from '../base/run.ts'
import { ImageWriter } from '../image/writer.ts'
import type { mm_entry } from '../image/messages/mm.ts'
import { BOOT_SIZE } from '../linux/arch/x86-64.ts'
import { AT_FDCWD, FD_CLOEXEC, F_GETFD } from '../linux/constants.ts'
import type { FlaggedMapping } from '../linux/proc/smaps.ts'
import { must, readFile, scratch } from '../linux/sys.ts'
import { FilterTable } from '../kinds/task/seccomp.ts'
import { SCRATCH_FOR_PAGES } from '../kinds/mem/pages.ts'
import type { TaskSession } from '../kinds/kind.ts'
import type { Saved } from '../kinds/mem/mappings.ts'
import { findBootPlace } from '../tracee/boot-place.ts'
import { leaveVdso } from '../tracee/leave-vdso.ts'
import { isLeftBehind, leaveLeftBehind } from '../tracee/leftover.ts'
import { CpuPin } from '../tracee/pin.ts'
import { Remote } from '../tracee/remote.ts'
import { STOP_TIMEOUT_MS, StoppedTree, type Process, type Zombie } from '../tracee/stopped.ts'
import { FileCollector } from './files.ts'
import { SharedObjects, differsFromLeader, type SharedIds } from './ids.ts'
import { MemoryCollector } from './memory.ts'
import { OWN_NAMESPACES, findForeignNamespaces, readOwnNamespaces } from './namespaces.ts'
import {
  ask,
  coresOf,
  finishCore,
  mmFields,
  scratchSize,
  zombieCore,
  type Core,
  type ProcessAnswers,
  type ThreadAnswers,
} from './process.ts'
import { rehearse } from './rehearsal.ts'
import { writeDumpStats, type Times } from './stats.ts'
import type { Stat } from '../linux/proc/stat.ts'
import { readProcess, readZombie, whereOf, type ProcessFacts } from './tasks.ts'

const UUID_BYTES = 16

/** A process with all that was learnt of it. */
type Dumped = {
  readonly facts: ProcessFacts
  readonly remote: Remote
  /** Mappings that a killed run left and this one has taken away. */
  readonly leftBehind: ReadonlySet<FlaggedMapping>
  readonly ids: SharedIds
  readonly first: { vm: boolean; files: boolean; fs: boolean }
  answers: { process: ProcessAnswers; threads: ThreadAnswers[] }
  saved: Saved[]
  cores: Core[]
  exe: number
  cwd: number
  root: number
}

/** Saves the tree under `options.pid`. Throws a BardoError; the tree then runs on as if nothing had happened. */
export function dump(options: DumpOptions): void {
  const images = new ImageWriter(options.imagesFd)
  let done: Done
  try {
    done = dumpTree(options, images)
  } catch (error) {
    images.discard()
    throw error
  }
  // The images are whole, and may be all that there is of the tree: without statistics they are worth no less.
  try {
    writeDumpStats(options.workFd, done.times, done.counts)
  } catch (thrown) {
    log.warn('dump', `stats-dump cannot be written: ${renderLine(asBardoError(thrown))}`)
  }
}

type Done = { readonly times: Times; readonly counts: MemoryCollector['counts'] }

function dumpTree(options: DumpOptions, images: ImageWriter): Done {
  const times: Times = { start: now_ms(), stopped: 0, memory: 0, memoryEnd: 0, end: 0 }
  readOwnNamespaces()
  if (options.finalState === 'running') rehearse(options)
  progress.stage('stopping the tree')
  const saved = ((): SavedTree => {
    using _pin = new CpuPin(options.pid)
    using tree = new StoppedTree(options.timeoutSeconds > 0 ? options.timeoutSeconds * 1000 : STOP_TIMEOUT_MS)
    tree.stop(options.pid)
    times.stopped = now_ms()
    log.info(() => `Stopped ${tree.processes.length} processes with ${tree.threadCount} threads`)
    const report = new Report()
    const written = saveTree(tree, options, images, report, times)
    if (options.finalState !== 'running') {
      // The images must be whole before the only other copy of the tree is gone.
      written.write()
      images.finish()
      tree.endWith(options.finalState === 'dead' ? 'kill' : 'stop')
    }
    return written
  })()
  times.end = now_ms()
  if (options.finalState === 'running') {
    // What was read is put into messages while the tree runs on already.
    saved.write()
    images.finish()
  }
  return { times, counts: saved.counts }
}

/** What was read of the tree; `write` puts it into images, and needs the tree no more. */
type SavedTree = { readonly counts: MemoryCollector['counts']; write(): void }

/** Everything between the stop and the letting go; every finding goes to the report before a page is written. */
function saveTree(
  tree: StoppedTree,
  options: DumpOptions,
  images: ImageWriter,
  report: Report,
  times: Times,
): SavedTree {
  progress.stage('reading processes')
  const all = tree.processes.map(readProcess)
  for (const facts of all) checkTask(facts, tree, report)
  checkSessions(all, options, report)
  const shared = new SharedObjects()
  const sids = new Set(all.filter(facts => facts.stat.session === facts.pid).map(facts => facts.pid))
  const pids = new Set([...all.map(facts => facts.pid), ...tree.zombies.map(zombie => zombie.pid)])
  const sessions = sessionsOf(all)
  using files = new FileCollector({
    images,
    options,
    report,
    sessions: [...sessions.values()],
    hasSession: sid => sids.has(sid),
    hasTask: pid => pids.has(pid),
  })
  const memory = new MemoryCollector(images, files, report)
  report.throwIfAny('cannot dump the tree')

  const filters = new FilterTable()
  const dumped: Dumped[] = []
  // However this ends, scratch memory is taken away before the registers are given back.
  tree.onRelease(() => {
    for (const { remote } of dumped) remote.close()
  })
  for (const found of all) {
    const { facts, boot, leftBehind } = leadOut(found)
    const { ids, first } = shared.of(facts.pid)
    if (!first.vm) {
      report.add(
        new BardoError('unsupported', 'processes that share their memory (CLONE_VM, vfork) are not supported', {
          where: whereOf(facts),
          hint: 'dump when the child of a vfork has called exec',
        }),
      )
      continue
    }
    const remote = openRemote(facts, boot)
    const one: Dumped = {
      facts,
      remote,
      leftBehind: new Set(leftBehind),
      ids,
      first,
      answers: { process: undefined!, threads: [] },
      saved: [],
      cores: [],
      exe: 0,
      cwd: 0,
      root: 0,
    }
    dumped.push(one)
    removeLeftBehind(facts, remote, leftBehind)
    one.answers = ask(remote, facts)
  }
  for (const one of dumped) survey(one, files, memory, filters, report)
  files.finish()
  report.throwIfAny('cannot dump the tree')

  times.memory = now_ms()
  memory.write(dumped)
  if (interrupted() !== 0) throw new BardoError('refused', 'interrupted', { hint: 'the tree runs on as before' })
  times.memoryEnd = now_ms()
  const zombies = new Map(tree.zombies.map(({ pid }) => [pid, readZombie(pid)]))
  const write = (): void => {
    memory.finish()
    writeImages(tree, dumped, zombies, filters, images)
  }
  return { counts: memory.counts, write }
}

/** A process with the places in its memory that concern us: where the first call can be made, and what a killed run left. */
type Ready = { readonly facts: ProcessFacts; readonly boot: number; readonly leftBehind: readonly FlaggedMapping[] }

const readyOf = (facts: ProcessFacts): Ready => ({
  facts,
  boot: findBootPlace(facts.pid, facts.mappings),
  leftBehind: facts.mappings.filter(mapping => isLeftBehind(facts.pid, mapping)),
})

/** Lets threads leave the code of a run that was killed, and that of the vdso; what there is of the process behind that. */
function leadOut(facts: ProcessFacts): Ready {
  const ready = readyOf(facts)
  const { boot, leftBehind } = ready
  const led = leaveLeftBehind(facts.process.threads, [...leftBehind, { start: boot, end: boot + BOOT_SIZE }])
  const vdso = facts.mappings.find(({ path }) => path === '[vdso]')
  const left = vdso !== undefined && leaveVdso(facts.process.threads, vdso, facts.status.sigIgn)
  return led || left ? readyOf(readProcess(facts.process)) : ready
}

function openRemote(facts: ProcessFacts, boot: number): Remote {
  const { process, pid, status } = facts
  const ownTids = new Map(facts.threads.map(({ thread, status: own }) => [thread.tid, own.nspid.at(-1)]))
  const remote = new Remote(pid, process.leader, {
    ownPid: status.nstgid.at(-1) ?? pid,
    ownTid: tid => ownTids.get(tid) ?? tid,
    ignored: status.sigIgn,
    caught: status.sigCgt,
    boot,
  })
  remote.open(scratchSize(facts) + SCRATCH_FOR_PAGES)
  return remote
}

/** Takes away scratch memory of a run that was killed. */
function removeLeftBehind(facts: ProcessFacts, remote: Remote, left: readonly FlaggedMapping[]): void {
  if (left.length === 0) return
  log.info(`process ${facts.pid} has scratch memory of a run that was killed: it is unmapped`)
  using table = remote.table(facts.process.leader)
  for (const { start, end } of left) table.call('munmap', [start, end - start], { mayFail: true })
  table.run()
}

function survey(
  one: Dumped,
  files: FileCollector,
  memory: MemoryCollector,
  filters: FilterTable,
  report: Report,
): void {
  const { facts, answers, ids } = one
  const task = { pid: facts.pid, comm: facts.comm, filesId: ids.files_id }
  if (one.first.files) files.descriptors(task, fd => closesOnExec(one, fd))
  one.exe = report.collect(() => files.named(task, 'exe')) ?? 0
  one.cwd = report.collect(() => files.named(task, 'cwd')) ?? 0
  one.root = report.collect(() => files.named(task, 'root')) ?? 0
  one.saved = memory.survey(facts, one.leftBehind, answers.process.brk)
  one.cores = report.collect(() => coresOf(facts, answers, { ...ids, ...OWN_NAMESPACES }, filters)) ?? []
}

function closesOnExec({ remote, facts }: Dumped, fd: number): boolean {
  const { leader } = facts.process
  using table = remote.table(leader)
  const answer = table.call('fcntl', [fd, F_GETFD])
  table.run()
  leader.giveBack()
  return (table.result(answer) & FD_CLOEXEC) !== 0
}

/** What of a task stands in the way before anything is asked of it. */
function checkTask(facts: ProcessFacts, tree: StoppedTree, report: Report): void {
  const where = whereOf(facts)
  for (const finding of findForeignNamespaces(facts.pid, where)) report.add(finding)
  for (const { thread, status } of facts.threads) {
    if (status.seccomp !== 0 && !tree.suspendsSeccomp)
      report.add(
        new BardoError('not-permitted', 'cannot dump a process under seccomp', {
          where,
          why: 'suspending its filter needs CAP_SYS_ADMIN and that no filter is on us',
          hint: 'run as root outside of a filter',
        }),
      )
    if (thread.tid === facts.pid) continue
    const own = differsFromLeader(facts.pid, thread.tid)
    if (own !== undefined)
      report.add(
        new BardoError('unsupported', `a thread with its own ${own} is not supported`, {
          where: `${where}, thread ${thread.tid}`,
        }),
      )
  }
}

/** The sessions of the tree. Members born before their leader took its terminal have none: who has one tells. */
function sessionsOf(all: readonly ProcessFacts[]): Map<number, TaskSession> {
  const sessions = new Map<number, TaskSession>()
  for (const { stat } of all)
    if (stat.tty_nr !== 0 || !sessions.has(stat.session))
      sessions.set(stat.session, { sid: stat.session, tty_nr: stat.tty_nr, tpgid: stat.tpgid })
  return sessions
}

/** Sessions begin inside the tree, unless the caller says that it is a job of a shell. */
function checkSessions(all: readonly ProcessFacts[], options: DumpOptions, report: Report): void {
  const root = all[0]
  if (root === undefined || options.shellJob || root.stat.session === root.pid) return
  report.add(
    new BardoError('usage', 'the session of the tree begins outside of it', {
      where: whereOf(root),
      why: `its session leader is process ${root.stat.session}`,
      hint: 'if it is a job of a shell, say --shell-job (-j) on dump and restore; or start it with setsid',
    }),
  )
}

function writeImages(
  tree: StoppedTree,
  dumped: readonly Dumped[],
  zombies: ReadonlyMap<number, Stat>,
  filters: FilterTable,
  images: ImageWriter,
): void {
  for (const { facts, cores, saved, answers, exe, cwd, root } of dumped) {
    const { pid } = facts
    for (const core of cores) images.add('CORE', [core.tid], finishCore(core))
    images.add('IDS', [pid], cores[0]!.core.ids!)
    const mm: mm_entry = { ...mmFields(facts, answers.process, exe), vmas: saved.map(({ vma }) => vma) }
    images.add('MM', [pid], mm)
    images.add('FS', [pid], { cwd_id: cwd, root_id: root, umask: facts.status.umask ?? 0o022 })
  }
  const byPid = new Map(dumped.map(one => [one.facts.pid, one.facts]))
  writeTree(tree.processes[0]!, byPid, zombies, images)
  images.add('SECCOMP', [], { seccomp_filters: filters.filters })
  images.add('INVENTORY', [], {
    img_version: 2,
    fdinfo_per_id: true,
    root_ids: { vm_id: 1, files_id: 1, fs_id: 1, sighand_id: 1, ...OWN_NAMESPACES },
    ns_per_id: true,
    lsmtype: 0,
    dump_uptime: uptime_us(),
    network_lock_method: 0,
    plugins_entry: { plugins: [] },
    dump_criu_run_id: randomUuid(),
  })
}

/** pstree.img, parents before children. */
function writeTree(
  root: Process,
  byPid: ReadonlyMap<number, ProcessFacts>,
  zombies: ReadonlyMap<number, Stat>,
  images: ImageWriter,
): void {
  const queue: { task: Process | Zombie; ppid: number }[] = [{ task: root, ppid: 0 }]
  for (let next = queue.pop(); next !== undefined; next = queue.pop()) {
    const { task, ppid } = next
    const facts = byPid.get(task.pid)
    const stat = facts?.stat ?? zombies.get(task.pid)!
    const threads = facts?.threads.map(({ thread }) => thread.tid) ?? [0]
    images.add('PSTREE', [], { pid: task.pid, ppid, pgid: stat.pgrp, sid: stat.session, threads })
    if (facts === undefined) images.add('CORE', [task.pid], zombieCore(stat))
    else if ('children' in task)
      for (const child of task.children.toReversed()) queue.push({ task: child, ppid: task.pid })
  }
}

/** Microseconds since boot: /proc/uptime has hundredths of seconds. */
/** A random UUID (RFC 9562, version 4). The runtime's own come from a supply that was filled before a frozen start. */
function randomUuid(): string {
  const mark = scratch.mark()
  try {
    const at = scratch.take(UUID_BYTES)
    must('getrandom', at, UUID_BYTES, 0)
    const bytes = scratch.at(at, UUID_BYTES)
    bytes[6] = (bytes[6]! & 0x0f) | 0x40
    bytes[8] = (bytes[8]! & 0x3f) | 0x80
    return bytes.toHex().replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')
  } finally {
    scratch.release(mark)
  }
}

function uptime_us(): bigint {
  const text = textOf(readFile(AT_FDCWD, '/proc/uptime') ?? new Uint8Array())
  return BigInt(Math.round(parseFloat(text) * 100)) * 10_000n
}
