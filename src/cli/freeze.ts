// `bardo --freeze`, which the build calls and nobody else (tools/freeze.ts): loads all there is, works as told on standard input so that
// what runs often is compiled, and stops. The build takes our memory then and puts it into the executable, which starts
// from it: what follows the stop is the first thing that it does (docs/decisions/frozen-start.md).
import { beginRun, type Environment } from '../base/run.ts'
import { BardoError } from '../base/errors.ts'
import { bytesOf, textOf } from '../base/bytes.ts'
import { readSome } from '../kinds/tty/device.ts'
import { monotonic_ms } from '../linux/clock.ts'
import { AT_FDCWD, PR_SET_CHILD_SUBREAPER, SIGSTOP, WALL, WNOHANG } from '../linux/constants.ts'
import { Arena } from '../linux/ffi.ts'
import { must, readFile, readLink, scratch, sys } from '../linux/sys.ts'
import { STDOUT, write } from './host.ts'
import { KernelState, ownDescriptors } from './kernel-state.ts'
// All that the commands load when they need it.
import './attach.ts'
import './check.ts'
import './config.ts'
import './dump.ts'
import './help.ts'
import './parse.ts'
import './restore.ts'
import './stats.ts'
import '../dump/dump.ts'
import '../program/print.ts'
import '../restore/foreground.ts'
import '../restore/keeper.ts'
import '../restore/order.ts'
import '../restore/restore.ts'
import '../restore/windows.ts'

const STDIN = 0
const WORD = 8
const PAGE = 4096
const NEWLINE = 0x0a
const SEPARATOR = '\t'
/** A variable of the runtime sends the executable to the runtime's own start (tools/start.ts), and changes nothing else. */
const COLD = 'BUN_START'

/** How a program is called: by which name, and with which words. */
export type Called = { readonly name: string; readonly words: readonly string[] }

/** A line of standard input; undefined at its end. */
function readLine(): string | undefined {
  let line = ''
  for (;;) {
    const byte = readSome(STDIN, 1)
    if (typeof byte === 'number' || byte.length === 0) return undefined
    if (byte[0] === NEWLINE) return line
    line += String.fromCharCode(byte[0]!)
  }
}

/** Children that have ended. The runtime has none here, whose end could be taken away from it. */
function reap(): void {
  while (sys('wait4', -1, 0, WALL | WNOHANG, 0) > 0) continue
}

/** The strings of a file of /proc, each of which ends with a zero. */
const stringsOf = (path: string): string[] => textOf(readFile(AT_FDCWD, path)!).split('\0').slice(0, -1)

/** The first of several variables with one name counts, as for getenv(3). */
function variables(strings: readonly string[]): Environment {
  const pairs = strings.map(text => [text.slice(0, text.indexOf('=')), text.slice(text.indexOf('=') + 1)] as const)
  return Object.fromEntries(pairs.toReversed())
}

/** Starts this program once more, by the runtime's own start. */
function startCold(): never {
  const lists = [stringsOf('/proc/self/cmdline'), [...stringsOf('/proc/self/environ'), `${COLD}=1`]].map(list =>
    list.map(text => bytesOf(`${text}\0`)),
  )
  const size = lists.flat().reduce((sum, bytes) => sum + bytes.length + 2 * WORD, 0)
  const arena = new Arena(size + PAGE)
  const [argv, envp] = lists.map(list => {
    const addresses = list.map(bytes => BigInt(arena.put(bytes)))
    return arena.put(new Uint8Array(BigUint64Array.of(...addresses, 0n).buffer))
  })
  // By its own name, if it still has that: the kernel names the process after it.
  const link = readLink(AT_FDCWD, '/proc/self/exe')
  if (typeof link !== 'number') sys('execve', textOf(link), argv, envp)
  must('execve', '/proc/self/exe', argv, envp)
  throw new BardoError('bug', 'execve came back')
}

/** Begins a run in a process that has nothing but our memory, or, to try it out, in the one that has made it. */
function begin(state: KernelState): Called {
  const [name = '', ...words] = stringsOf('/proc/self/cmdline')
  const environment = variables(stringsOf('/proc/self/environ'))
  state.giveBack()
  beginRun({ environment, clock_ms: monotonic_ms })
  return { name, words }
}

/**
 * Runs the lines of standard input, words separated by tabs, and answers each with its status. What a run leaves open is
 * closed. The line `--collect` has garbage collected.
 */
async function tryOut(state: KernelState, run: (words: readonly string[]) => Promise<number>): Promise<void> {
  // What a tree that was killed leaves comes to us, and not to an init that may take its time.
  must('prctl', PR_SET_CHILD_SUBREAPER, 1)
  const before = new Set(ownDescriptors())
  for (let line = readLine(); line !== undefined; line = readLine()) {
    reap()
    let status = 0
    if (line === '--collect') Bun.gc(true)
    // An empty line asks for the reaping alone.
    else if (line !== '') {
      begin(state)
      status = await run(line.split(SEPARATOR))
    }
    for (const fd of ownDescriptors()) if (!before.has(fd)) sys('close', fd)
    write(STDOUT, `${status}\n`)
  }
  reap()
  if (scratch.mark() !== 0) throw new BardoError('bug', 'a run has left scratch memory taken')
}

/** Comes back in the process that starts from our memory, with what that is called with. */
export async function freeze(run: (words: readonly string[]) => Promise<number>): Promise<Called> {
  const state = new KernelState()
  await tryOut(state, run)
  sys('kill', sys('getpid'), SIGSTOP)
  if (!state.hasRoom) startCold()
  return begin(state)
}
