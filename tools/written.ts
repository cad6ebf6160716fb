// Which pages of its frozen memory an executable writes to in every run. They are asked for all at once then: a page that is written
// to later costs two faults, one for the page of the file and one for the copy.
import { readFileSync } from 'node:fs'
import { PTRACE_EVENT_EXIT, PTRACE_O_TRACEEXIT, SIGCONT, SIGSTOP } from '../src/linux/constants.ts'
import { sys } from '../src/linux/sys.ts'
import { resume, trySeize, waitFor } from '../src/tracee/ptrace.ts'
import { PAGE } from './elf.ts'
import { isWritten, Memory, type Advice, type Part } from './freeze.ts'

/** Since Linux 5.14; an older kernel refuses it, and nothing is lost but time. */
const MADV_POPULATE_WRITE = 23

/** Runs a command line to its end: its exit status, and the pages of `parts` that it has written to. */
export function runWatched(
  command: readonly string[],
  parts: readonly Part[],
): { readonly status: number; readonly pages: ReadonlySet<number> } {
  // Stopped before it begins, so that it cannot have ended before it is traced.
  const { pid } = Bun.spawn(['sh', '-c', 'kill -STOP $$; exec "$@"', 'sh', ...command], {
    stdio: ['ignore', 'ignore', 'inherit'],
    env: {},
    cwd: '/',
  })
  while (!/^State:\tT/m.test(readFileSync(`/proc/${pid}/status`, 'latin1'))) Bun.sleepSync(1)
  const seized = trySeize(pid, PTRACE_O_TRACEEXIT)
  if (seized < 0) throw new Error(`cannot trace ${command.join(' ')}: errno ${-seized}`)
  sys('kill', pid, SIGCONT)
  const pages = new Set<number>()
  for (;;) {
    const stop = waitFor(pid)
    if (stop.kind === 'killed') throw new Error(`${command.join(' ')} was killed by signal ${stop.signal}`)
    if (stop.kind === 'exited') return { status: stop.code, pages }
    if (stop.event === PTRACE_EVENT_EXIT) {
      using memory = new Memory(pid)
      for (const { address, length } of parts)
        for (const { start, end } of memory.runs(address, address + length, isWritten, 1))
          for (let page = start; page < end; page += PAGE) pages.add(page)
    }
    resume(pid, stop.event === 0 && stop.signal !== SIGSTOP ? stop.signal : 0)
  }
}

/** Advice to have pages there from the start, neighbours together. */
export function populate(pages: ReadonlySet<number>): Advice[] {
  const advice: { address: number; length: number; advice: number }[] = []
  for (const page of [...pages].toSorted((a, b) => a - b)) {
    const last = advice.at(-1)
    if (last !== undefined && last.address + last.length === page) last.length += PAGE
    else advice.push({ address: page, length: PAGE, advice: MADV_POPULATE_WRITE })
  }
  return advice
}
