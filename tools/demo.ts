// The main job, live (`npm run demo`): programs move from one terminal to another, by an image on disk.
// Both terminals are ptys of ours; what is written to them is printed as it comes. Ends with what was checked, and with
// status 1 where something was not as it should be. Nothing is left behind.
import { mkdirSync, mkdtempSync, readFileSync, readlinkSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { Arena, syscall } from '../src/linux/ffi.ts'
import { NR } from '../src/linux/nr.ts'
import { Terminal } from '../test/conformance/terminal.ts'

const root = dirname(import.meta.dir)
const bardo = process.env['BARDO'] ?? join(root, 'bardo')
const shownName = process.env['BARDO'] ?? './bardo'
const patience_ms = 20_000
const TCGETS = 0x5401
const SIGKILL = 9
/** struct termios of the kernel: four words of flags, the line discipline, 19 characters. */
const TERMIOS_BYTES = 36
const memory = new Arena(4096)

const colours = process.stdout.isTTY && (process.env['NO_COLOR'] ?? '') === ''
const paint = (code: number, text: string): string => (colours ? `\x1b[${code}m${text}\x1b[0m` : text)
const say = (text = ''): void => console.log(text)
const sleep = (ms: number): Promise<void> => new Promise(resolve => setTimeout(resolve, ms))

class Failure extends Error {}

// ---- terminals

/** A terminal whose finished lines are printed behind its name. */
class Shown {
  readonly terminal: Terminal
  readonly name: string
  readonly #colour: number
  #printed = 0

  constructor(name: string, colour: number, rows: number, columns: number) {
    this.name = name
    this.#colour = colour
    this.terminal = new Terminal(rows, columns)
  }

  /** Prints the lines that are complete by now; `rest`: the last one too. */
  show(rest = false): void {
    const heard = this.terminal.heard()
    const end = rest ? heard.length : heard.lastIndexOf('\n') + 1
    if (end <= this.#printed) return
    const lines = heard.slice(this.#printed, end).replace(/\n$/, '').split('\n')
    this.#printed = end
    for (const line of lines) say(`  ${paint(this.#colour, `${this.name} |`)} ${asSeen(line)}`.trimEnd())
  }

  /** Types `text` and waits until the terminal shows `answer`. */
  async ask(text: string, answer: RegExp): Promise<void> {
    const from = this.terminal.heard().length
    this.terminal.say(text)
    await until(`${this.name} answers ${JSON.stringify(text)}`, () => answer.test(this.terminal.heard().slice(from)))
    this.show()
  }

  /** How the terminal is set: raw or cooked, with which characters. */
  get modes(): string {
    const result = syscall(NR.ioctl, this.terminal.slave, TCGETS, memory.address)
    if (result < 0) throw new Failure(`${this.name} does not tell its modes: errno ${-result}`)
    return memory.bytes.subarray(0, TERMIOS_BYTES).toHex()
  }
}

const ESCAPE = '\x1b'
const PARTS = new RegExp(`${ESCAPE}\\[([?0-9;]*)([@A-Za-z~])|${ESCAPE}.|[^]`, 'g')

/** A line as it looks on the screen when all was written: line editors go back and write over. */
function asSeen(line: string): string {
  const cells: string[] = []
  let at = 0
  for (const [part, argument, final] of line.matchAll(PARTS)) {
    const count = Number(argument) || 1
    if (final === 'C') at += count
    else if (final === 'K') cells.length = Math.min(cells.length, at)
    else if (final === '@') cells.splice(at, 0, ...Array<string>(count).fill(' '))
    else if (final === 'P') cells.splice(at, count)
    else if (part === '\b') at = Math.max(0, at - 1)
    else if (part === '\r') at = 0
    else if (part.length === 1 && part >= ' ') cells[at++] = part
  }
  return Array.from(cells, cell => cell ?? ' ').join('')
}

async function until(what: string, isSo: () => boolean): Promise<void> {
  const end = performance.now() + patience_ms
  while (!isSo()) {
    if (performance.now() > end) throw new Failure(`waited ${patience_ms / 1000} s in vain: ${what}`)
    await sleep(5)
  }
}

// ---- processes

/** Pids that are ours, while they may run. */
const running = new Set<number>()

const linkOf = (pid: number, fd: number): string => {
  try {
    return readlinkSync(`/proc/${pid}/fd/${fd}`)
  } catch {
    return 'nothing'
  }
}
const isThere = (pid: number): boolean => syscall(NR.kill, pid, 0) === 0

/** Starts a program on a terminal, as the leader of a session of its own. */
function start(command: readonly string[], on: Shown): Bun.Subprocess {
  say(`\n${paint(1, `${on.name}$ ${command.join(' ')}`)}`)
  const fd = on.terminal.slave
  const env = {
    PATH: process.env['PATH'] ?? '/usr/bin:/bin',
    TERM: 'xterm',
    LANG: 'C',
    PYTHON_BASIC_REPL: '1',
    PS1: '> ',
  }
  const child = Bun.spawn([...command], { stdin: fd, stdout: fd, stderr: fd, env, cwd: '/' })
  running.add(child.pid)
  return child
}

/** Runs Bardo; its standard streams are a terminal where one is given. */
function runBardo(words: readonly string[], on?: Shown): Bun.Subprocess {
  const shown = [shownName, ...words].map(word => (/[[\]]/.test(word) ? `'${word}'` : word)).join(' ')
  say(paint(1, `${on?.name ?? ''}$ ${shown}`))
  const streams = on === undefined ? 'inherit' : on.terminal.slave
  return Bun.spawn([bardo, ...words], {
    stdin: on === undefined ? 'ignore' : streams,
    stdout: streams,
    stderr: streams,
    cwd: place,
  })
}

async function dump(child: Bun.Subprocess, options: readonly string[], images: string): Promise<void> {
  mkdirSync(join(place, images))
  const dumped = runBardo(['dump', ...options, '-D', images, '-o', 'dump.log', '-v4', '-t', String(child.pid)])
  if ((await dumped.exited) !== 0) throw new Failure(`the dump ended with ${dumped.exitCode}${logOf(images, 'dump')}`)
  await child.exited
  running.delete(child.pid)
  check(`process ${child.pid} is in ${images}/ and runs no more`, !isThere(child.pid))
}

/** Restores on a terminal, and stays as the parent of what it restored. */
async function restore(pid: number, options: readonly string[], images: string, on: Shown): Promise<Bun.Subprocess> {
  running.add(pid)
  const restored = runBardo(['restore', ...options, '-D', images, '-o', 'restore.log', '-v4'], on)
  await until(`process ${pid} is restored`, () => {
    if (restored.exitCode !== null)
      throw new Failure(`the restore ended with ${restored.exitCode}${logOf(images, 'restore')}`)
    return readText(join(place, images, 'restore.log')).includes('Restore finished successfully')
  })
  const links = [0, 1, 2].map(fd => linkOf(pid, fd))
  check(
    `process ${pid} runs again, its descriptors 0, 1 and 2 are ${on.terminal.path}`,
    links.every(link => link === on.terminal.path),
  )
  return restored
}

const readText = (path: string): string => {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}
const logOf = (images: string, verb: string): string => {
  const lines = readText(join(place, images, `${verb}.log`))
    .trimEnd()
    .split('\n')
    .slice(-12)
  return `\n${lines.join('\n')}`
}

/** A terminal as the options name it: rdev and dev of stat(2), in hex. */
const keyOf = ({ terminal }: Shown): string => {
  const { rdev, dev } = statSync(terminal.path)
  return `${rdev.toString(16)}:${dev.toString(16)}`
}

// ---- what was checked

const checks: { readonly what: string; readonly good: boolean }[] = []
function check(what: string, good: boolean): void {
  checks.push({ what, good })
}

// ---- the two acts

async function moveSleep(from: Shown, to: Shown): Promise<void> {
  const child = start(['setsid', 'sleep', '1000'], from)
  await until('sleep runs', () => readText(`/proc/${child.pid}/comm`) === 'sleep\n')
  const key = keyOf(from)
  await dump(child, ['--inherit-fd', `fd:tty:[${key}]`], 'imgs')
  const restored = await restore(child.pid, ['--inherit-fd', `fd[1]:tty:[${key}]`], 'imgs', to)
  syscall(NR.kill, child.pid, 15)
  check('the restore waited for it, and ended when it was ended', (await restored.exited) === 0)
  running.delete(child.pid)
}

/** A REPL: what is typed to it, and what it answers. */
type Repl = {
  readonly command: readonly string[]
  readonly prompt: RegExp
  readonly before: readonly (readonly [string, RegExp])[]
  readonly after: readonly (readonly [string, RegExp])[]
  readonly bye: string
  readonly says: string
}

const python: Repl = {
  command: ['setsid', '--ctty', 'python3', '-q'],
  prompt: />>> $/,
  before: [
    ['answer = 41\r', />>> $/],
    ['answer += 1; answer\r', /[\r\n]42\r?\n[^]*>>> $/],
  ],
  after: [
    // Nobody has told the new terminal what is on its screen: an empty line gets a prompt there.
    ['\r', />>> $/],
    // The first letter is forgotten, and put in front with Ctrl-A: only a terminal in the program's own mode does that.
    ['nswer * 2\x01a\r', /[\r\n]84\r?\n[^]*>>> $/],
  ],
  bye: 'exit()\r',
  says: 'the REPL kept its variable, and edits its line: what was typed on terminal 2 gave 84',
}

const shell: Repl = {
  command: ['setsid', '--ctty', 'sh', '-i'],
  prompt: /[>#$] $/,
  before: [
    ['answer=41\r', /[>#$] $/],
    ['answer=$((answer + 1)); echo $answer\r', /[\r\n]42\r?\n[^]*[>#$] $/],
  ],
  after: [['echo $((answer * 2))\r', /[\r\n]84\r?\n[^]*[>#$] $/]],
  bye: 'exit 0\r',
  says: 'the shell kept its variable: what was typed on terminal 2 gave 84',
}

async function moveRepl(repl: Repl, from: Shown, to: Shown): Promise<void> {
  const child = start(repl.command, from)
  await until('the prompt is there', () => repl.prompt.test(from.terminal.heard()))
  for (const [text, answer] of repl.before) await from.ask(text, answer)
  from.show(true)
  const { modes } = from
  const silent = from.terminal.heard().length
  const key = keyOf(from)
  await dump(child, ['--external', `tty[${key}]`], 'imgs-repl')
  const restored = await restore(child.pid, ['--inherit-fd', `fd[1]:tty[${key}]`], 'imgs-repl', to)
  check('terminal 2 has the modes that terminal 1 had at the dump', to.modes === modes)
  for (const [text, answer] of repl.after) await to.ask(text, answer)
  check(repl.says, true)
  to.terminal.say(repl.bye)
  const status = await restored.exited
  to.show(true)
  running.delete(child.pid)
  check('the restore waited for it, and ended when it did', status === 0)
  check('terminal 1 heard nothing of it after the dump', from.terminal.heard().length === silent)
}

function refuseEarly(): void {
  const missing: string[] = []
  if (process.getuid?.() !== 0) missing.push('root: run it as root (sudo npm run demo)')
  for (const program of ['setsid', 'sleep'])
    if (Bun.which(program) === null) missing.push(`${program}: apt-get install util-linux coreutils`)
  if (missing.length === 0) return
  say(`The demo needs\n  ${missing.join('\n  ')}`)
  process.exit(1)
}

/** Ends what is left of ours: only what still has one of our terminals. */
function cleanUp(terminals: readonly Shown[]): void {
  const ours = new Set(terminals.map(({ terminal }) => terminal.path))
  for (const pid of running) if ([0, 1, 2].some(fd => ours.has(linkOf(pid, fd)))) syscall(NR.kill, pid, SIGKILL)
  for (const { terminal } of terminals) terminal[Symbol.dispose]()
  rmSync(place, { recursive: true, force: true })
}

refuseEarly()
const place = mkdtempSync(join(tmpdir(), 'bardo-demo-'))
const [first, second] = [new Shown('terminal 1', 36, 24, 80), new Shown('terminal 2', 32, 30, 100)]
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
  process.on(signal, () => {
    cleanUp([first, second])
    process.exit(1)
  })
let failure: unknown
try {
  say(`terminal 1 is ${first.terminal.path}, with rdev:dev ${keyOf(first)}; terminal 2 is ${second.terminal.path}`)
  await moveSleep(first, second)
  await moveRepl(Bun.which('python3') === null ? shell : python, first, second)
} catch (thrown) {
  failure = thrown
  first.show(true)
  second.show(true)
} finally {
  cleanUp([first, second])
}

say('\nChecked:')
for (const { what, good } of checks) say(`  ${good ? paint(32, 'yes') : paint(31, 'NO ')}  ${what}`)
const good = failure === undefined && checks.every(one => one.good)
if (failure !== undefined)
  say(`\n${paint(31, 'FAILED')}: ${failure instanceof Error ? failure.message : 'something else was thrown'}`)
else say(good ? `\nAll ${checks.length} are as they should be.` : '\nFAILED')
process.exit(good ? 0 : 1)
