// A restore as a program: what the image says, against what this host has. Nothing is changed here; every reason why it
// cannot be done goes to the report.
import { bytesOf } from '../base/bytes.ts'
import type { Report } from '../base/errors.ts'
import type { RestoreOptions } from '../base/options.ts'
import type { ImageDirectory } from '../image/directory.ts'
import type { thread_core_entry } from '../image/messages/core.ts'
import type { reg_file_entry } from '../image/messages/regular.ts'
import { restoreActions } from '../kinds/task/actions.ts'
import { hasCredentials, restoreCredentials } from '../kinds/task/credentials.ts'
import { restoreLimits } from '../kinds/task/limits.ts'
import { pendingMask, restorePending } from '../kinds/task/pending.ts'
import { restoreScheduling } from '../kinds/task/scheduling.ts'
import { MODE_FILTER, chainOf, restoreSeccomp } from '../kinds/task/seccomp.ts'
import { restoreTimers } from '../kinds/task/timers.ts'
import { restoreAltStack, restoreRseq } from '../kinds/task/user-areas.ts'
import { descToKernel, isEmptyDesc, registersFromImage, xstateFromImage } from '../kinds/task/x86-registers.ts'
import {
  AT_FDCWD,
  EACCES,
  EPERM,
  O_CLOEXEC,
  O_WRONLY,
  PR_SET_CHILD_SUBREAPER,
  PR_SET_DUMPABLE,
  PR_SET_NAME,
  PR_SET_PDEATHSIG,
  SIGCHLD,
  SIGPIPE,
  SIGXFSZ,
} from '../linux/constants.ts'
import { ProgramBuilder } from '../program/build.ts'
import type { Passed, Phase, Places, Program, Purpose } from '../program/program.ts'
import { parkedParts } from '../program/spawn.ts'
import { Births, freePids } from './births.ts'
import { RestoreBuild, type TaskSayer } from './build.ts'
import { FilePlan } from './files.ts'
import { findAgainstHost } from './against-host.ts'
import type { Host } from './host.ts'
import { makeAgain, timedCall } from './interrupted-calls.ts'
import { TASK_STOPPED, whereOf, type Image, type Task } from './load.ts'
import { MemoryPlan } from './memory.ts'
import { PHASES } from './order.ts'
import { choosePlaces } from './places.ts'
import { childrenOf, planTree, type TreePlan } from './sessions.ts'

/** Signals that the runtime ignores, and that exec hands on. */
const IGNORED_BY_RUNTIME: ReadonlySet<number> = new Set([SIGPIPE, SIGXFSZ])

export function planRestore(
  image: Image,
  images: ImageDirectory,
  options: RestoreOptions,
  host: Host,
  report: Report,
): Program {
  return new Planner(image, images, options, host, report).plan()
}

class Planner {
  readonly #image: Image
  readonly #options: RestoreOptions
  readonly #host: Host
  readonly #report: Report
  readonly #program = new ProgramBuilder(PHASES)
  readonly #files: FilePlan
  readonly #build: RestoreBuild
  readonly #places: Places
  readonly #memory: MemoryPlan
  readonly #tree: TreePlan
  readonly #births: Births

  constructor(image: Image, images: ImageDirectory, options: RestoreOptions, host: Host, report: Report) {
    this.#image = image
    this.#options = options
    this.#host = host
    this.#report = report
    this.#files = new FilePlan({ images, options, report })
    const pids = new Set(image.tasks.flatMap(task => task.threads))
    this.#build = new RestoreBuild(
      { images, options, program: this.#program, files: this.#files, report, pids },
      { what: 'the tree', phase: 'files' },
    )
    const parked = parkedParts()
    const numbers = image.tasks.flatMap(task =>
      task.zombie ? [] : this.#files.descriptors(task.ids.files_id, task).map(({ fd }) => fd),
    )
    numbers.push(...this.#files.numbers())
    this.#places = choosePlaces(
      image.tasks.flatMap(task => task.vmas),
      parked,
      numbers,
      host,
      report,
    )
    this.#births = new Births(this.#program, this.#build)
    this.#tree = planTree(image.root, image.tasks, options.shellJob, report, freePids(image.tasks))
    this.#memory = new MemoryPlan(this.#build, this.#places, parked, image.tasks, report, this.#motherOf)
  }

  /** The task whose copy a new one is. */
  readonly #motherOf = (task: Task): Task | undefined => {
    const mother = this.#tree.mothers.get(task) ?? task.parent
    // A zombie has the memory that it was born with.
    return mother?.zombie === true ? this.#motherOf(mother) : mother
  }

  plan(): Program {
    using _memory = this.#memory
    const { tasks, root } = this.#image
    const living = tasks.filter(task => !task.zombie)
    for (const finding of findAgainstHost(this.#image, this.#tree, this.#host)) this.#report.add(finding)
    // Files first: what leaders of sessions do to their terminals is said while those are made.
    const tables = this.#descriptorTables(living)
    this.#makeTree()
    this.#groups()
    for (const task of tasks) if (task.zombie) this.#zombie(task)
    for (const { task, passed } of tables) this.#program.pass(this.#purpose(task, 'descriptors'), task.pid, passed)
    for (const task of living) {
      this.#report.collect(() => this.#memory.finish(task))
      this.#threads(task)
      this.#report.collect(() => this.#process(task))
    }
    return { steps: this.#program.steps, places: this.#places, root: root.pid }
  }

  #purpose(task: Task, phase: Phase, what = ''): Purpose {
    return { what: `${what}${what === '' ? '' : ' of '}${whereOf(task)}`, phase }
  }

  #say(task: Task, phase: Phase, what = '', actor = task.pid): TaskSayer {
    return this.#build.task(actor, this.#purpose(task, phase, what))
  }

  // ---- the tree

  #makeTree(): void {
    const { root } = this.#image
    this.#program.spawn(this.#purpose(root, 'tasks'), 'host', root.pid, {
      kind: 'root',
      sibling: this.#options.sibling,
    })
    // In the order in which they are born, which is not always that of parents and children.
    const born = new Set([root])
    for (const task of born) {
      if (!task.zombie) {
        this.#report.collect(() => this.#memory.make(task))
        this.#placesOf(task)
      }
      this.#births.bear(task, this.#tree.deeds.get(task) ?? [])
      for (const deed of this.#tree.deeds.get(task) ?? []) for (const child of childrenOf(deed)) born.add(child)
    }
    this.#births.endHelpers()
  }

  #groups(): void {
    const { groupHelpers, joins } = this.#tree
    for (const { pgid, maker } of groupHelpers) {
      const purpose = this.#purpose(maker, 'groups', `helper for group ${pgid}`)
      this.#program.spawn(purpose, maker.pid, pgid, { kind: 'child', flags: 0 })
      this.#build.task(pgid, purpose).call('setpgid', 0, 0)
    }
    for (const { task, pgid } of joins) this.#say(task, 'groups', 'group').call('setpgid', 0, pgid)
    for (const { pgid, maker } of groupHelpers)
      this.#program.end(this.#purpose(maker, 'groups', `helper for group ${pgid}`), pgid, 0, maker.pid)
  }

  #zombie(task: Task): void {
    const say = this.#say(task, 'zombies')
    say.call('prctl', PR_SET_NAME, say.memory(commBytes(task.comm)), 0, 0, 0)
    // No core file is to be written for it a second time.
    say.call('prctl', PR_SET_DUMPABLE, 0, 0, 0, 0)
    this.#program.end(this.#purpose(task, 'zombies'), task.pid, task.cores[0]!.tc!.exit_code, undefined)
  }

  // ---- what a process has

  /** The files of each table of descriptors, given to the first task that has it. */
  #descriptorTables(living: readonly Task[]): { task: Task; passed: Passed[] }[] {
    const tables: { task: Task; passed: Passed[] }[] = []
    const done = new Set<number>()
    for (const task of living) {
      const { files_id } = task.ids
      if (done.has(files_id)) continue
      done.add(files_id)
      const passed = this.#files
        .descriptors(files_id, task)
        .map(({ id, fd, cloexec }): Passed => ({ file: this.#build.file(id), number: fd, cloexec }))
      tables.push({ task, passed })
    }
    return tables
  }

  /** Root, working directory and umask: before the task has children, who inherit them. */
  #placesOf(task: Task): void {
    const { root_id, cwd_id, umask } = task.fs
    const born = this.#motherOf(task)?.fs
    if (born !== undefined && born.root_id === root_id && born.cwd_id === cwd_id && born.umask === umask) return
    if (this.#tree.mothers.get(task) === undefined && task.parent?.ids.fs_id === task.ids.fs_id) return
    const say = this.#say(task, 'tasks', 'directories')
    const rootName = (this.#build.fileState(root_id)?.state as reg_file_entry | undefined)?.name
    if (root_id !== born?.root_id && (rootName !== '/' || born !== undefined || this.#options.root !== undefined)) {
      say.call('fchdir', say.borrow(this.#build.file(root_id)))
      say.call('chroot', '.')
    }
    say.call('fchdir', say.borrow(this.#build.file(cwd_id)))
    say.done()
    say.call('umask', umask)
  }

  #threads(task: Task): void {
    for (const tid of task.threads.slice(1))
      this.#program.spawn(this.#purpose(task, 'threads', `thread ${tid}`), task.pid, tid, {
        kind: 'thread',
        process: task.pid,
      })
  }

  #process(task: Task): void {
    const leader = task.cores[0]!
    const tc = leader.tc!
    this.#actions(task)
    task.cores.forEach((core, index) => this.#thread(task, index, core.thread_core!))
    // Changes of credentials make a process undumpable, so what the image says is set behind them.
    const dumpable = task.mm.dumpable ?? 1
    if (dumpable === 0 || dumpable === 1)
      this.#say(task, 'credentials').call('prctl', PR_SET_DUMPABLE, dumpable, 0, 0, 0)
    restorePending(tc.signals_s, task.pid, undefined, this.#say(task, 'pending'))
    restoreTimers(tc.timers, this.#host.restoresTimerIds, this.#say(task, 'timers', 'timers'))
    restoreLimits(tc.rlimits?.rlimits ?? [], this.#host.inheritedLimits, this.#say(task, 'limits'))
    this.#oomScore(task, tc.oom_score_adj)
    task.cores.forEach((core, index) => {
      const tid = task.threads[index]!
      const info = core.thread_info!
      const where = index === 0 ? whereOf(task) : `${whereOf(task)}, thread ${tid}`
      for (const desc of info.tls)
        if (!isEmptyDesc(desc))
          this.#program.host(this.#purpose(task, 'go'), {
            name: 'thread_area',
            thread: tid,
            entry: desc.entry_number,
            desc: descToKernel(desc),
          })
      const state = core.thread_core!
      const registers = registersFromImage(info.gpregs)
      const sigmask = state.blk_sigset ?? (index === 0 ? tc.blk_sigset : 0n)
      makeAgain(registers, (pendingMask(tc.signals_s) | pendingMask(state.signals_p)) & ~sigmask)
      this.#program.host(this.#purpose(task, 'go'), {
        name: 'state',
        thread: tid,
        registers,
        xstate: xstateFromImage(info.fpregs, where),
        sigmask,
        timed: timedCall(state, registers, where),
        stopped: index === 0 && tc.task_state === TASK_STOPPED ? (tc.stop_signo ?? 19) : 0,
        ...(index === 0 ? { vdso: this.#memory.vdsoAt(task) } : {}),
      })
    })
  }

  #actions(task: Task): void {
    const tc = task.cores[0]!.tc!
    const say = this.#say(task, 'signals')
    // Children that ended while the tree was made have left a SIGCHLD: the default action, to ignore it, drops it.
    say.call('rt_sigaction', SIGCHLD, say.memory(32), 0, 8)
    restoreActions(tc.sigactions, IGNORED_BY_RUNTIME, say)
    if (tc.personality !== this.#host.personality) say.call('personality', tc.personality)
    if (tc.child_subreaper === true) say.call('prctl', PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    const barriers = tc.membarrier_registration_mask ?? 0
    for (let bit = 0; bit < 31; bit++) if ((barriers >> bit) & 1) say.attempt([22], 'membarrier', 1 << bit, 0, 0)
  }

  #thread(task: Task, index: number, state: thread_core_entry): void {
    const tid = task.threads[index]!
    const info = task.cores[index]!.thread_info!
    const what = tid === task.pid ? '' : `thread ${tid}`
    const say = this.#say(task, 'signals', what, tid)
    say.call('prctl', PR_SET_NAME, say.memory(commBytes(state.comm ?? task.comm)), 0, 0, 0)
    if (state.sas !== undefined) restoreAltStack(state.sas, say)
    say.call('set_tid_address', info.clear_tid_addr)
    if (state.futex_rla_len > 0) say.call('set_robust_list', state.futex_rla, state.futex_rla_len)
    if (state.rseq_entry !== undefined) restoreRseq(state.rseq_entry, say)
    restoreScheduling(state, this.#host, say)
    if (state.seccomp_mode !== undefined && state.seccomp_mode !== 0) {
      const chain = state.seccomp_mode === MODE_FILTER ? chainOf(this.#image.filters, state.seccomp_filter ?? -1) : []
      restoreSeccomp(state.seccomp_mode, chain, this.#say(task, 'seccomp', what, tid))
    }
    const creds = this.#say(task, 'credentials', what, tid)
    if (state.creds !== undefined && !hasCredentials(state.creds, this.#host.credentials))
      restoreCredentials(state.creds, this.#host.bounding, creds)
    if ((state.pdeath_sig ?? 0) !== 0) creds.call('prctl', PR_SET_PDEATHSIG, state.pdeath_sig!, 0, 0, 0)
    restorePending(state.signals_p, task.pid, tid, this.#say(task, 'pending', what, tid))
  }

  #oomScore(task: Task, value: number | undefined): void {
    if (value === undefined || value === this.#host.oom_score_adj) return
    const at = this.#build.as(this.#purpose(task, 'limits', 'oom_score_adj'))
    const file = at.open('openat', AT_FDCWD, `/proc/${task.pid}/oom_score_adj`, O_WRONLY | O_CLOEXEC, 0)
    const text = bytesOf(String(value))
    // To lower it needs CAP_SYS_RESOURCE: a task that is easier to kill than before is better than none.
    at.attempt([EACCES, EPERM], 'write', file, at.memory(text), text.length)
  }
}

function commBytes(comm: string): Uint8Array {
  const bytes = new Uint8Array(16)
  bytes.set(bytesOf(comm).subarray(0, 15))
  return bytes
}
