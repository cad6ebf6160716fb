// A restore: load the image, plan, verify, run, let go.
import { Report, asBardoError, renderLine } from '../base/errors.ts'
import { bytesOf } from '../base/bytes.ts'
import { log } from '../base/log.ts'
import type { RestoreOptions } from '../base/options.ts'
import { progress } from '../base/progress.ts'
import { now_ms } from '../base/run.ts'
import { ImageDirectory } from '../image/directory.ts'
import { ImageWriter } from '../image/writer.ts'
import { AT_FDCWD, O_CLOEXEC, O_CREAT, O_EXCL, O_WRONLY } from '../linux/constants.ts'
import { OpenFile, refusal, sys } from '../linux/sys.ts'
import type { Program } from '../program/program.ts'
import { Runner } from '../program/run.ts'
import { verifyProgram } from '../program/verify.ts'
import { CpuPin } from '../tracee/pin.ts'
import type * as Jobs from './foreground.ts'
import { readHost } from './host.ts'
import { loadImage } from './load.ts'
import { planRestore } from './plan.ts'
import { openChoice, openForJob, prepareNew, putOn, withoutNeed, type Chosen, type Used } from './terminal.ts'
import { givenForNone, standIns } from '../kinds/tty/outside.ts'

/** What was done, for stats-restore; moments in milliseconds. */
type Times = { start: number; forked: number; end: number }

/** With `explain` the program's text; else the status to end with: 0, or the root's own under `--exit-status`. */
export type Restored = { readonly text: string } | { readonly status: number }

/**
 * Restores the tree, and stays with it unless it is to be left; `isRunning` is called between the two. With `explain` it changes nothing.
 * Throws a BardoError; nothing is left then.
 */
export async function restore(asked: RestoreOptions, isRunning: () => Promise<void>): Promise<Restored> {
  const times: Times = { start: now_ms(), forked: 0, end: 0 }
  using opened = openChoice(asked)
  const { program, used, groups, chosen, options } = prepare(asked, opened)
  using _chosen = chosen
  if (options.explain) {
    const [{ printProgram }, { reasonFor }] = await Promise.all([import('../program/print.ts'), import('./order.ts')])
    return { text: printProgram(program, reasonFor) }
  }
  // Terminals cost those nothing who have none, and do not wait.
  const jobs = options.detached && used.length === 0 ? undefined : await import('./foreground.ts')
  using foreground = jobs === undefined ? undefined : stayWith(jobs, used, options, chosen)
  // What could go wrong about a keeper goes wrong before there is a tree.
  const keeper = chosen.isKept ? await import('./keeper.ts') : undefined
  using place = keeper && new keeper.Place(program.root)
  times.forked = now_ms()
  // Before the tree: behind it there is nothing left that could fail the restore and leave the tree.
  if (options.pidfile !== undefined) writePidfile(options.pidfile, program.root)
  try {
    using _pin = new CpuPin(0)
    new Runner(program, true).run(options.finalState === 'stopped' ? 'stop' : 'run')
  } catch (error) {
    if (options.pidfile !== undefined) sys('unlinkat', AT_FDCWD, options.pidfile, 0)
    throw error
  }
  times.end = now_ms()
  if (!options.detached && keeper === undefined) foreground?.begin(program.root)
  log.info(() => `Restored process ${program.root}`)
  try {
    writeStats(options.workFd, times, program)
  } catch (thrown) {
    log.warn('restore', `stats-restore cannot be written: ${renderLine(asBardoError(thrown))}`)
  }
  progress.end()
  try {
    await isRunning()
  } catch (thrown) {
    log.warn('restore', renderLine(asBardoError(thrown)))
  }
  if (options.keepWinsize) foreground?.noteSizes()
  else if (options.finalState !== 'stopped' && used.length > 0)
    (await import('./windows.ts')).announceWindows(used, program.root, groups)
  const startsStopped = options.finalState === 'stopped'
  let status = 0
  if (chosen.receiver !== undefined) chosen.handOut(chosen.receiver)
  if (keeper !== undefined) {
    const first = { detached: options.detached, keepsSize: options.keepWinsize, startsStopped }
    status = keeper.keepAndShow(chosen.take(), place!, program.root, first)
  } else if (!options.detached) status = foreground!.wait(program.root, startsStopped)
  return { status: options.exitStatus ? status : 0 }
}

/** Who puts terminals in order when we end; undefined where nobody has to. */
function stayWith(
  jobs: typeof Jobs,
  used: readonly Used[],
  options: RestoreOptions,
  chosen: Chosen,
): Jobs.Foreground | undefined {
  if (chosen.standIn?.isNew === true) return options.detached ? undefined : new jobs.Foreground([])
  if (!options.detached) return new jobs.Foreground(used)
  // A shell takes its terminal back when we end; who has none above him leaves the terminal to the job.
  return jobs.isUnderShell() ? new jobs.Foreground(used.filter(({ fd }) => jobs.isControlling(fd))) : undefined
}

type Prepared = {
  readonly program: Program
  /** Terminals of ours that the tree gets. */
  readonly used: readonly Used[]
  /** The process groups that the tree has. */
  readonly groups: ReadonlySet<number>
  /** The terminal that the whole tree is put on, if there is one. */
  readonly chosen: Chosen
  readonly options: RestoreOptions
}

function prepare(asked: RestoreOptions, opened: Chosen): Prepared {
  progress.stage('reading images')
  const report = new Report()
  using images = new ImageDirectory(asked.imagesFd)
  const image = loadImage(images, report)
  report.throwIfAny('cannot restore the tree')
  const { chosen, options: wanted } = openForJob(image, images, asked) ??
    withoutNeed(image, images, asked, opened) ?? { chosen: opened, options: asked }
  const options = chosen.standIn === undefined ? wanted : putOn(image, wanted, chosen.standIn)
  const host = readHost()
  progress.stage('planning')
  const program = planRestore(image, images, options, host, report)
  for (const finding of givenForNone(images, options)) report.add(finding)
  report.throwIfAny('cannot restore the tree')
  const pids = new Set(image.tasks.map(({ pid }) => pid))
  const used = standIns(images, options, pid => pids.has(pid))
  if (chosen.standIn?.isNew === true) prepareNew(chosen.standIn.fd, used, options)
  // Explained even when it is wrong: the text is what a report of a bug needs.
  if (!options.explain) {
    for (const finding of verifyProgram(program, host)) report.add(finding)
    report.throwIfAny('cannot restore the tree')
  }
  log.info(() => `Planned ${program.steps.length} steps for ${image.tasks.length} tasks`)
  progress.stage('restoring')
  return { program, used, groups: new Set(image.tasks.map(({ pgid }) => pgid)), chosen, options }
}

/** The pid of the root, as CRIU writes it: a new file, without a newline. */
function writePidfile(path: string, pid: number): void {
  const fd = sys('openat', AT_FDCWD, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
  if (fd < 0) throw refusal('openat', fd, path)
  using file = new OpenFile(fd)
  const bytes = bytesOf(String(pid))
  const wrote = sys('write', file.fd, bytes, bytes.length)
  if (wrote >= 0) return
  sys('unlinkat', AT_FDCWD, path, 0)
  throw refusal('write', wrote, path)
}

function writeStats(workFd: number, times: Times, program: Program): void {
  const us = (from: number, to: number): number => Math.max(0, Math.round((to - from) * 1000))
  let pages = 0
  for (const step of program.steps) if (step.do === 'fill') for (const run of step.runs) pages += run.length / 4096
  const stats = new ImageWriter(workFd)
  stats.add('STATS', ['restore'], {
    restore: {
      pages_compared: 0n,
      pages_skipped_cow: 0n,
      forking_time: us(times.forked, times.end),
      restore_time: us(times.start, times.end),
      pages_restored: BigInt(pages),
    },
  })
  stats.finish()
}
