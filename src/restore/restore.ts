// A restore: load the image, plan, verify, run, let go.
import { BardoError, Report } from '../base/errors.ts'
import { bytesOf } from '../base/bytes.ts'
import { interrupted } from '../base/interrupt.ts'
import { log } from '../base/log.ts'
import type { RestoreOptions } from '../base/options.ts'
import { progress } from '../base/progress.ts'
import { ImageDirectory } from '../image/directory.ts'
import { ImageWriter } from '../image/writer.ts'
import { AT_FDCWD, EINTR, O_CLOEXEC, O_CREAT, O_EXCL, O_WRONLY, WALL } from '../linux/constants.ts'
import { syscall } from '../linux/ffi.ts'
import { NR } from '../linux/nr.ts'
import { OpenFile, must, refusal, scratch, sys } from '../linux/sys.ts'
import type { Program } from '../program/program.ts'
import { Runner } from '../program/run.ts'
import { verifyProgram } from '../program/verify.ts'
import { CpuPin } from '../tracee/pin.ts'
import { readHost } from './host.ts'
import { loadImage } from './load.ts'
import { planRestore } from './plan.ts'

/** What was done, for stats-restore; moments in milliseconds. */
type Times = { start: number; forked: number; end: number }

/** Restores the tree. With `explain` it changes nothing and returns the program's text. Throws a BardoError; nothing is left then. */
export async function restore(options: RestoreOptions): Promise<string | undefined> {
  const times: Times = { start: performance.now(), forked: 0, end: 0 }
  const program = prepare(options)
  if (options.explain) {
    const [{ printProgram }, { reasonFor }] = await Promise.all([import('../program/print.ts'), import('./order.ts')])
    return printProgram(program, reasonFor)
  }
  times.forked = performance.now()
  {
    using _pin = new CpuPin(0)
    new Runner(program, true).run(options.finalState === 'stopped' ? 'stop' : 'run')
  }
  times.end = performance.now()
  log.info(() => `Restored process ${program.root}`)
  if (options.pidfile !== undefined) writePidfile(options.pidfile, program.root)
  writeStats(options.workFd, times, program)
  log.info('Restore finished successfully. Tasks resumed.')
  if (!options.detached) waitForRoot(program.root)
  return undefined
}

function prepare(options: RestoreOptions): Program {
  progress.stage('reading images')
  const report = new Report()
  const images = new ImageDirectory(options.imagesFd)
  const image = loadImage(images, report)
  report.throwIfAny('cannot restore the tree')
  const host = readHost()
  progress.stage('planning')
  const program = planRestore(image, images, options, host, report)
  report.throwIfAny('cannot restore the tree')
  // Explained even when it is wrong: the text is what a report of a bug needs.
  if (!options.explain) {
    for (const finding of verifyProgram(program, host)) report.add(finding)
    report.throwIfAny('cannot restore the tree')
  }
  log.info(() => `Planned ${program.steps.length} steps for ${image.tasks.length} tasks`)
  progress.stage('restoring')
  return program
}

/** The pid of the root, as CRIU writes it: a new file, without a newline. */
function writePidfile(path: string, pid: number): void {
  const fd = sys('openat', AT_FDCWD, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
  if (fd < 0) throw refusal('openat', fd, path)
  using file = new OpenFile(fd)
  const bytes = bytesOf(String(pid))
  must('write', file.fd, bytes, bytes.length)
}

function writeStats(workFd: number, times: Times, program: Program): void {
  const us = (from: number, to: number): number => Math.max(0, Math.round((to - from) * 1000))
  let pages = 0
  for (const step of program.steps) if (step.do === 'fill') for (const run of step.runs) pages += run.length / 4096
  const stats = new ImageWriter(workFd)
  stats.add('STATS', ['restore'], {
    restore: {
      pages_compared: 0n, pages_skipped_cow: 0n, forking_time: us(times.forked, times.end),
      restore_time: us(times.start, times.end), pages_restored: BigInt(pages),
    },
  })
  stats.finish()
}

/** Stays until the restored root ends, as the parent that it has. */
function waitForRoot(pid: number): void {
  const mark = scratch.mark()
  const status = scratch.take(8)
  try {
    for (;;) {
      const result = syscall(NR.wait4, pid, status, WALL, 0)
      if (result === pid) return
      if (result !== -EINTR) throw new BardoError('refused', `cannot wait for the restored process ${pid}`, { errno: -result })
      const signal = interrupted()
      if (signal !== 0) throw new BardoError('refused', `interrupted by signal ${signal}`, { hint: `the restored tree runs on, as process ${pid}` })
    }
  } finally {
    scratch.release(mark)
  }
}
