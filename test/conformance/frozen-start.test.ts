// The executable, which starts from memory that its build has left behind: that it does, that it falls back where it cannot, and that
// it never takes what it remembers for what is (docs/decisions/frozen-start.md).
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ImageDirectory, openImageDirectory } from '../../src/image/directory.ts'
import { sys } from '../../src/linux/sys.ts'
import { sleep } from './harness.ts'
import { projectRoot } from './workload-list.ts'

const directory = mkdtempSync('/tmp/bardo-frozen-')
const bardo = join(directory, 'bardo')
const PATH = process.env['PATH']!

/** Runs a program of ours; its status, and all it says. */
async function ours(words: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<[number, string]> {
  const command = [join(projectRoot, 'tools/bun'), ...words]
  const child = Bun.spawn(command, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env } })
  const [out, err] = await Promise.all([child.stdout.text(), child.stderr.text()])
  return [await child.exited, out + err]
}

beforeAll(async () => {
  const built = await ours([join(projectRoot, 'tools/build.ts'), bardo])
  expect(built).toEqual([0, expect.not.stringContaining('slowly')])
}, 120_000)
afterAll(() => rmSync(directory, { recursive: true, force: true }))

type Said = { readonly status: number; readonly out: string; readonly err: string }

/** Bytes are shown as they are: a character each. */
function said(command: readonly string[], env: Readonly<Record<string, string>> = {}, cwd = '/'): Said {
  const { exitCode, stdout, stderr } = Bun.spawnSync([...command], { env: { PATH, ...env }, cwd })
  return { status: exitCode, out: stdout.toString('latin1'), err: stderr.toString('latin1') }
}

/** The runtime names the memory for its objects when it starts itself. */
const startsCold = (...before: string[]): boolean => {
  const trace = join(directory, 'trace')
  const { status } = said([...before, 'strace', '-f', '-e', 'trace=prctl', '-o', trace, bardo, '--version'])
  expect(status).toBe(0)
  return readFileSync(trace, 'latin1').includes('JSStructureHeap')
}

test('it starts from frozen memory, and by itself where that cannot be', () => {
  expect(startsCold()).toBe(false)
  expect(startsCold('env', 'BUN_JSC_useDFGJIT=0')).toBe(true)
  // The numbers of the descriptors that it needs are taken, or may not be used.
  expect(startsCold('bash', '-c', 'exec 200</dev/null; exec "$@"', 'bash')).toBe(true)
  expect(startsCold('bash', '-c', 'ulimit -S -n 100; exec "$@"', 'bash')).toBe(true)
  expect(startsCold('setarch', 'x86_64', '--addr-no-randomize')).toBe(true)
})

test('both ways of starting say the same, byte by byte', () => {
  const criu = join(directory, 'criu')
  symlinkSync(bardo, criu)
  const lone = Buffer.from([0xff, 0xc3]).toString('latin1')
  for (const words of [
    [bardo],
    [bardo, '--version'],
    [bardo, '--help'],
    [bardo, 'nothing'],
    [criu, '--help'],
    [criu, 'attach'],
    [bardo, 'restore', '-D', '/nowhere/ü'],
    ['bash', '-c', `exec ${bardo} restore -D $'/nowhere/\\xff\\xc3'`],
  ]) {
    const frozen = said(words)
    expect(frozen).toEqual(said(words, { BUN_X: '' }))
    if (words[0] === 'bash') expect(frozen.err).toContain(`/nowhere/${lone} `)
  }
})

test('the environment is that of the call', () => {
  mkdirSync(join(directory, 'home/.criu'), { recursive: true })
  writeFileSync(join(directory, 'home/.criu/default.conf'), 'no-such-option\n')
  const words = [bardo, 'check']
  expect(said(words, { HOME: join(directory, 'home') }).err).toContain(join(directory, 'home/.criu/default.conf'))
  expect(said(words, { HOME: '/nowhere' }).err).toBe('')
})

test('standard descriptors that are closed stay closed, and a deleted directory does not matter', () => {
  expect(said(['sh', '-c', `exec ${bardo} --version <&- 2>&-`]).out).toStartWith('Version: ')
  const deleted = join(directory, 'deleted')
  const script = `mkdir ${deleted}; cd ${deleted}; rmdir ${deleted}; exec ${bardo} --version`
  expect(said(['sh', '-c', script]).out).toStartWith('Version: ')
})

/** Dumps a process, and restores it; the images. */
async function dumpAndRestore(name: string, ...before: string[]): Promise<string> {
  const images = join(directory, name)
  mkdirSync(images)
  const child = Bun.spawn(['setsid', 'sleep', '1000'], { stdio: ['ignore', 'ignore', 'ignore'], cwd: '/' })
  await sleep(100)
  const common = ['-D', images, '-v4', '-o']
  expect(said([...before, bardo, 'dump', ...common, 'dump.log', '-t', String(child.pid)])).toEqual({
    status: 0,
    out: '',
    err: '',
  })
  await child.exited
  expect(said([...before, bardo, 'restore', ...common, 'restore.log', '-d'])).toEqual({ status: 0, out: '', err: '' })
  expect(readFileSync(`/proc/${child.pid}/comm`, 'latin1')).toBe('sleep\n')
  sys('kill', child.pid, 9)
  return images
}

const idOf = (images: string): string => {
  const fd = openImageDirectory(images)
  using read = new ImageDirectory(fd)
  const { dump_criu_run_id } = read.readOne('INVENTORY')
  sys('close', fd)
  return dump_criu_run_id!
}

test('every dump is another, and its log begins at its beginning', async () => {
  const [one, other] = [await dumpAndRestore('one'), await dumpAndRestore('other')]
  expect(idOf(one)).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
  expect(idOf(one)).not.toBe(idOf(other))
  for (const log of ['dump.log', 'restore.log']) expect(readFileSync(join(one, log), 'latin1')).toMatch(/^\(00\.0/)
}, 60_000)

test('a clock that shows less than at the build does no harm', async () => {
  // As after a reboot. Tasks cannot be dumped out of a time namespace yet: what counts is that it says so in time.
  const images = join(directory, 'early')
  mkdirSync(images)
  const uptime = Math.floor(parseFloat(readFileSync('/proc/uptime', 'latin1')))
  const early = ['unshare', '--fork', '--time', '--monotonic', String(1 - uptime)]
  const possible = said([...early, 'true'])
  if (possible.status !== 0) {
    console.log(`not tried: this machine makes no time namespace: ${possible.err}`)
    return
  }
  const child = Bun.spawn(['sleep', '1000'], { stdio: ['ignore', 'ignore', 'ignore'] })
  const { status, err } = said([...early, bardo, 'dump', '-D', images, '-v4', '-o', 'log', '-t', String(child.pid)])
  child.kill()
  await child.exited
  expect(err).toContain('time namespace')
  expect(status).toBe(1)
  expect(readFileSync(join(images, 'log'), 'latin1')).toMatch(/^\(00\.0/)
}, 60_000)

for (const name of ['tty-external', 'keeper'])
  test(`${name} passes with the executable`, async () => {
    const file = join(projectRoot, `test/conformance/${name}.test.ts`)
    const tried = await ours(['test', '--timeout', '120000', file], { BARDO: bardo })
    expect(tried).toEqual([0, expect.stringContaining(' 0 fail')])
  }, 120_000)

test('nothing is left of what the build was called with', () => {
  expect(existsSync(bardo)).toBe(true)
  expect(readFileSync(bardo).includes(`HOME=${process.env['HOME'] ?? '/root'}`)).toBe(false)
})
