// Calls that fail, each in turn: a dump says what failed, takes its images away and leaves its target as it was; a
// restore says what failed, and leaves nothing. So do a dump that is interrupted, and one whose target does not stop.
import { spawn } from 'bun'
import { describe, expect, test } from 'bun:test'
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { STOP_TIMEOUT_MS } from '../../src/tracee/stopped.ts'
import { Run, run as execute, sleep, until } from './harness.ts'
import { announce, chosen, freshFolder, hasStrace, injected, programCommand, traced } from './injection.ts'
import { KeptImages } from './kept-images.ts'
import { Steady } from './steady.ts'
import { look } from './visible-state.ts'
import { workloads } from './workload-list.ts'

/** The calls that are let fail, and how. */
const FAILURES: Readonly<Record<string, string>> = {
  ptrace: 'EIO',
  wait4: 'EINTR',
  process_vm_readv: 'EFAULT',
  process_vm_writev: 'EFAULT',
  pwrite64: 'ENOSPC',
  pread64: 'EIO',
  pidfd_open: 'EMFILE',
  pidfd_getfd: 'EMFILE',
  sendmsg: 'ENOBUFS',
  kcmp: 'EPERM',
  openat: 'EMFILE',
  write: 'ENOSPC',
  read: 'EIO',
  getdents64: 'EIO',
  readlinkat: 'ENOMEM',
  newfstatat: 'ENOMEM',
  fcntl: 'EMFILE',
  ioctl: 'ENOMEM',
  pipe2: 'ENFILE',
  tee: 'ENOMEM',
  lseek: 'EINVAL',
  get_robust_list: 'EPERM',
  sched_getaffinity: 'ESRCH',
  fstatfs: 'EIO',
}

/** What of a failed dump may stay: its log. */
const STAYS = new Set(['dump.log', 'stats-dump'])

async function failedDumps(main: 'busy' | 'waiting', about: number): Promise<void> {
  const steady = new Steady()
  await using run = steady.run
  await steady.start(main)
  const program = await programCommand()
  const dump = (folder: string): string[] => [...program, ...steady.dumpTo(folder)]
  const folder = freshFolder(run, 'whole')
  const whole = await traced(run.folder, Object.keys(FAILURES), [], dump(folder))
  expect(whole.exitCode).toBe(0)
  // What comes before the log is opened is of the runtime.
  const from = whole.calls.findIndex(({ name, text }) => name === 'openat' && text.includes('"dump.log"'))
  const calls = whole.calls.slice(from + 1)
  const tried = chosen(calls, about)
  announce(`dumps of a ${main} target in which a call fails`, tried, calls)
  const survived: string[] = []
  for (const call of tried) {
    const images = freshFolder(run, 'failed')
    const ended = await traced(run.folder, [call.name], injected(call, `error=${FAILURES[call.name]}`), dump(images))
    const what = `${call.name} number ${call.nth} failed (${call.text})`
    const left = readdirSync(images).filter(name => !STAYS.has(name))
    if (ended.exitCode === 0) survived.push(what)
    else {
      expect([what, ended.exitCode, left]).toEqual([what, 1, []])
      if (!ended.output.includes('Error: ')) throw new Error(`${what}: nothing was said\n${ended.output}`)
    }
    await steady.mustBeUntouched(what)
  }
  if (process.env['BARDO_SHOW'] !== undefined) console.log(survived.join('\n'))
  expect(survived.length).toBeLessThan(tried.length)
  await run.finish()
}

/** The calls of a restore that are let fail besides. */
const MAKING: Readonly<Record<string, string>> = {
  ...FAILURES,
  mkdirat: 'ENOSPC',
  linkat: 'EMLINK',
  mknodat: 'EPERM',
  memfd_create: 'ENFILE',
  socketpair: 'EMFILE',
  sendfile: 'EIO',
  fallocate: 'ENOSPC',
  fchown: 'EPERM',
  fchmod: 'EPERM',
  utimensat: 'EPERM',
  ftruncate: 'EFBIG',
  openat2: 'EMFILE',
}

async function failedRestores(workload: string, about: number): Promise<void> {
  const kept = new KeptImages(workload)
  await using run = kept.run
  await kept.make()
  const program = await programCommand()
  const pidfile = run.path('pidfile')
  const restore = [...program, 'restore', '-d', '-D', kept.images, '-v4', '-o', 'restore.log', '--pidfile', pidfile]
  const end = async (): Promise<void> => {
    expect(readFileSync(pidfile, 'latin1')).toBe(String(run.pid))
    rmSync(pidfile)
    await kept.end()
  }
  const whole = await traced(run.folder, Object.keys(MAKING), [], restore)
  expect([whole.exitCode, whole.output]).toEqual([0, ''])
  await end()
  const from = whole.calls.findIndex(({ name, text }) => name === 'openat' && text.includes('"restore.log"'))
  const calls = whole.calls.slice(from + 1)
  const makesName = /^(linkat|mkdirat|mknodat|unlinkat|fallocate|sendfile|fchown)/
  const tried = chosen(calls, about, ({ text }) => makesName.test(text))
  announce(`restores of ${workload} in which a call fails`, tried, calls)
  const survived: string[] = []
  for (const call of tried) {
    const ended = await traced(run.folder, [call.name], injected(call, `error=${MAKING[call.name]}`), restore)
    const what = `${call.name} number ${call.nth} failed (${call.text})`
    if (ended.exitCode === 0) {
      survived.push(what)
      await end()
      continue
    }
    expect([what, ended.exitCode]).toEqual([what, 1])
    if (!ended.output.includes('Error: ')) throw new Error(`${what}: nothing was said\n${ended.output}`)
    await kept.mustBeGone(what)
  }
  if (process.env['BARDO_SHOW'] !== undefined) console.log(survived.join('\n'))
  expect(survived.length).toBeLessThan(tried.length)
  await run.restore(kept.images)
  await run.finish()
}

/** Dumps a target that has so much memory that there is time to interrupt it. */
async function interruptedDump(signal: 'SIGINT' | 'SIGTERM' | 'SIGHUP'): Promise<void> {
  await using run = new Run(workloads.find(({ name }) => name === 'ballast')!)
  await run.start('200')
  const before = look(run.pid)
  const images = freshFolder(run, 'images')
  const program = await programCommand()
  const child = spawn([...program, 'dump', '-t', String(run.pid), '-D', images, '-v4', '-o', 'dump.log'], {
    stderr: 'pipe',
  })
  const pages = join(images, 'pages-1.img')
  await until('pages are being written', () => {
    try {
      return statSync(pages).size > 0 || undefined
    } catch {
      return child.exitCode === null ? undefined : true
    }
  })
  child.kill(signal)
  const said = await child.stderr.text()
  expect([await child.exited, said.split('\n')[0]]).toEqual([1, 'Error: interrupted'])
  expect(readdirSync(images)).toEqual(['dump.log'])
  expect(look(run.pid)).toEqual(before)
  await run.finish()
}

/** A parent in vfork(2) cannot be stopped before its child has called exec or ended. */
async function unstoppable(): Promise<void> {
  await using run = new Run(workloads.find(({ name }) => name === 'held')!)
  await run.start()
  const images = freshFolder(run, 'images')
  const from = performance.now()
  const ended = await execute([
    ...(await programCommand()),
    'dump',
    '-t',
    String(run.pid),
    '-D',
    images,
    '--timeout',
    '1',
    '-o',
    'dump.log',
  ])
  expect(ended.exitCode).toBe(1)
  expect(ended.output).toMatch(/^Error: task \d+ did not stop in time/)
  // Sooner than a dump without --timeout would have given up.
  expect(performance.now() - from).toBeLessThan(STOP_TIMEOUT_MS)
  expect(readdirSync(images)).toEqual(['dump.log'])
  await sleep(50)
  expect(readFileSync(`/proc/${run.pid}/status`, 'latin1')).toContain('TracerPid:\t0\n')
  await run.finish()
}

async function tracedByAnother(): Promise<void> {
  const steady = new Steady()
  await using run = steady.run
  await steady.start('waiting')
  const other = spawn(['strace', '-qqq', '-f', '-o', '/dev/null', '-e', 'trace=none', '-p', String(steady.pid)])
  await until('strace has it', () =>
    /TracerPid:\t0\n/.test(readFileSync(`/proc/${steady.pid}/status`, 'latin1')) ? undefined : true,
  )
  const images = freshFolder(run, 'images')
  const ended = await execute([
    ...(await programCommand()),
    'dump',
    '-t',
    String(steady.pid),
    '-D',
    images,
    '-o',
    'dump.log',
  ])
  expect(ended.exitCode).toBe(1)
  expect(ended.output).toContain(`it is traced by process ${other.pid}`)
  expect(readdirSync(images)).toEqual(['dump.log'])
  other.kill('SIGINT')
  await other.exited
  await steady.mustBeUntouched('after a dump that was refused')
  await run.finish()
}

/** Statistics are not what images are worth: that they cannot be written must not cost the tree, which is gone by then. */
async function withoutStatistics(): Promise<void> {
  const kept = new KeptImages('registers')
  await using run = kept.run
  await run.start()
  mkdirSync(run.path('work'))
  mkdirSync(run.path('work/stats-dump'))
  mkdirSync(run.path('work/stats-restore'))
  const images = await run.dump({ more: ['-W', run.path('work')] })
  await run.restore(images, { more: ['-W', run.path('work')] })
  await run.finish()
}

async function takenPidfile(): Promise<void> {
  const kept = new KeptImages('registers')
  await using run = kept.run
  writeFileSync(run.path('pidfile'), 'of another')
  await kept.make()
  const program = await programCommand()
  const ended = await execute([...program, 'restore', '-d', '-D', kept.images, '--pidfile', run.path('pidfile')])
  expect([ended.exitCode, ended.output.includes('EEXIST')]).toEqual([1, true])
  await kept.mustBeGone('restored with a pidfile that is there')
  expect(readFileSync(run.path('pidfile'), 'latin1')).toBe('of another')
  await run.restore(kept.images)
  await run.finish()
}

describe('a dump', () => {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    test(`that gets ${signal} leaves its target as it was`, () => interruptedDump(signal), 60_000)
  test('of a target that cannot stop says so when its time is up', () => unstoppable(), 60_000)
  test.if(hasStrace)('of a target that another traces says who', () => tracedByAnother(), 60_000)
  test('whose statistics cannot be written is good, and so is a restore', () => withoutStatistics(), 60_000)
})

test('a restore whose pidfile is there makes nothing', () => takenPidfile(), 60_000)

describe.if(hasStrace)('a restore in which a call fails', () => {
  for (const workload of ['registers', 'threads', 'tree', 'adopted', 'pipes', 'unlinked', 'tty-pair', 'stopped'])
    test(`leaves nothing of ${workload}`, () => failedRestores(workload, 12), 600_000)
})

describe.if(hasStrace)('a dump in which a call fails', () => {
  test('leaves a target as it was whose main thread computes', () => failedDumps('busy', 40), 600_000)
  test('leaves a target as it was whose main thread waits in calls', () => failedDumps('waiting', 40), 600_000)
})
