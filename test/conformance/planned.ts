// All that a restore does before it makes anything, done in this process: an image directory is loaded, planned and
// verified.
import { closeSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { BardoError, Report } from '../../src/base/errors.ts'
import type { RestoreOptions } from '../../src/base/options.ts'
import { ImageDirectory } from '../../src/image/directory.ts'
import { verifyProgram } from '../../src/program/verify.ts'
import { readHost } from '../../src/restore/host.ts'
import { loadImage } from '../../src/restore/load.ts'
import { planRestore } from '../../src/restore/plan.ts'

function optionsFor(imagesFd: number): RestoreOptions {
  return {
    imagesDir: '.',
    imagesFd,
    workDir: '.',
    workFd: imagesFd,
    shellJob: false,
    externals: [],
    inherited: [],
    finalState: 'running',
    displayStats: false,
    pidfile: undefined,
    ghostLimitBytes: 1 << 20,
    linkRemap: false,
    evasiveDevices: false,
    fileLocks: false,
    tcpEstablished: false,
    tcpClose: false,
    fileValidation: 'buildid',
    unprivileged: false,
    detached: true,
    sibling: false,
    root: undefined,
    skipFileRwxCheck: false,
    explain: false,
    tty: undefined,
    terminal: undefined,
    keepWinsize: false,
    exitStatus: false,
  }
}

const host = readHost()

/** What stands against a restore of the images in `folder`: nothing for good ones. */
export function prepare(folder: string): BardoError[] {
  const fd = openSync(folder, 'r')
  using images = new ImageDirectory(fd)
  try {
    const report = new Report()
    const image = loadImage(images, report)
    report.throwIfAny('load')
    const program = planRestore(image, images, optionsFor(fd), host, report)
    report.throwIfAny('plan')
    return verifyProgram(program, host)
  } catch (thrown) {
    if (!(thrown instanceof BardoError)) throw thrown
    return thrown.findings.length > 0 ? [...thrown.findings] : [thrown]
  } finally {
    closeSync(fd)
  }
}

/** The most memory that this process had at once since it was asked to forget (proc(5), clear_refs). */
const peakMb = (): number => Number(/^VmHWM:\s*(\d+)/m.exec(readFileSync('/proc/self/status', 'latin1'))![1]) / 1024

/** What `prepare` finds, and the memory in MB that it takes at most beside what was there before. */
export function prepareMeasured(folder: string): { found: BardoError[]; peak_mb: number } {
  // What earlier ones have left must not count: the runtime lets it lie until it has need of room.
  Bun.gc(true)
  writeFileSync('/proc/self/clear_refs', '5')
  const before = peakMb()
  const found = prepare(folder)
  return { found, peak_mb: peakMb() - before }
}
