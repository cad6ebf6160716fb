// A restore: load the image, plan, verify, run, let go.
import { Report, asBardoError, renderLine } from '../base/errors.ts'
import { bytesOf } from '../base/bytes.ts'
import { log } from '../base/log.ts'
import type { RestoreOptions } from '../base/options.ts'
import { progress } from '../base/progress.ts'
import { ImageDirectory } from '../image/directory.ts'
import { ImageWriter } from '../image/writer.ts'
import { AT_FDCWD, O_CLOEXEC, O_CREAT, O_EXCL, O_WRONLY } from '../linux/constants.ts'
import { OpenFile, refusal, sys } from '../linux/sys.ts'
import type { Program } from '../program/program.ts'
import { Runner } from '../program/run.ts'
import { verifyProgram } from '../program/verify.ts'
import { CpuPin } from '../tracee/pin.ts'
import { readHost } from './host.ts'
import { loadImage } from './load.ts'
import { planRestore } from './plan.ts'
import { giveSize, openChoice, putOn, type ChosenTerminal } from './terminal.ts'
import { givenForNone, standIns } from '../kinds/tty/outside.ts'

/** What was done, for stats-restore; moments in milliseconds. */
type Times = { start: number; forked: number; end: number }

/** With `explain` the program's text; else the status to end with: 0, or the root's own under `--exit-status`. */
export type Restored = { readonly text: string } | { readonly status: number }

/** Restores the tree. With `explain` it changes nothing. Throws a BardoError; nothing is left then. */
export async function restore(options: RestoreOptions): Promise<Restored> {
  const times: Times = { start: performance.now(), forked: 0, end: 0 }
  using chosen = openChoice(options)
  const { program, standIns, isOwn } = prepare(options, chosen.standIn)
  if (options.explain) {
    const [{ printProgram }, { reasonFor }] = await Promise.all([import('../program/print.ts'), import('./order.ts')])
    return { text: printProgram(program, reasonFor) }
  }
  // Terminals cost those nothing who have none, and do not wait.
  const jobs = options.detached && standIns.length === 0 ? undefined : await import('./foreground.ts')
  using foreground = options.detached ? undefined : new jobs!.Foreground(isOwn ? [] : standIns.map(({ fd }) => fd))
  times.forked = performance.now()
  // Before the tree: behind it there is nothing left that could fail the restore and leave the tree.
  if (options.pidfile !== undefined) writePidfile(options.pidfile, program.root)
  try {
    using _pin = new CpuPin(0)
    new Runner(program, true).run(options.finalState === 'stopped' ? 'stop' : 'run')
  } catch (error) {
    if (options.pidfile !== undefined) sys('unlinkat', AT_FDCWD, options.pidfile, 0)
    throw error
  }
  times.end = performance.now()
  log.info(() => `Restored process ${program.root}`)
  try {
    writeStats(options.workFd, times, program)
  } catch (thrown) {
    log.warn('restore', `stats-restore cannot be written: ${renderLine(asBardoError(thrown))}`)
  }
  progress.end()
  if (options.keepWinsize) foreground?.noteSizes()
  else if (options.finalState !== 'stopped') jobs?.announceSizes(standIns, program.root)
  let status = 0
  if (chosen.receiver !== undefined) chosen.handOut(chosen.receiver)
  if (chosen.master !== undefined) {
    const { keepHere } = await import('./keeper.ts')
    status = keepHere(chosen.takeMaster(), program.root, options.detached)
  } else if (foreground !== undefined) status = foreground.wait(program.root, options.finalState === 'stopped')
  return { status: options.exitStatus ? status : 0 }
}

type Prepared = {
  readonly program: Program
  /** Terminals of ours that the tree gets. */
  readonly standIns: ReturnType<typeof standIns>
  /** They are none of the user's. */
  readonly isOwn: boolean
}

function prepare(asked: RestoreOptions, choice: ChosenTerminal | undefined): Prepared {
  progress.stage('reading images')
  const report = new Report()
  const images = new ImageDirectory(asked.imagesFd)
  const image = loadImage(images, report)
  report.throwIfAny('cannot restore the tree')
  const options = choice === undefined ? asked : putOn(image, asked, choice)
  const host = readHost()
  progress.stage('planning')
  const program = planRestore(image, images, options, host, report)
  for (const finding of givenForNone(images, options)) report.add(finding)
  report.throwIfAny('cannot restore the tree')
  const pids = new Set(image.tasks.map(({ pid }) => pid))
  const ours = standIns(images, options, pid => pids.has(pid))
  if (choice?.isNew === true) giveSize(choice.fd, ours)
  // Explained even when it is wrong: the text is what a report of a bug needs.
  if (!options.explain) {
    for (const finding of verifyProgram(program, host)) report.add(finding)
    report.throwIfAny('cannot restore the tree')
  }
  log.info(() => `Planned ${program.steps.length} steps for ${image.tasks.length} tasks`)
  progress.stage('restoring')
  return { program, standIns: ours, isOwn: choice?.isNew === true }
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
