// The workload `steady`, watched from outside: whether all its threads go on, and whether anything is left in it.
import { expect } from 'bun:test'
import { readFileSync } from 'node:fs'
import { syscall } from '../../src/linux/ffi.ts'
import { NR } from '../../src/linux/nr.ts'
import { Run, until } from './harness.ts'
import { look, peek, type VisibleState } from './visible-state.ts'
import { workloads } from './workload-list.ts'

const THREADS = 6
const [SIGCONT, SIGSTOP] = [18, 19]
/** A private mapping without a file that may be written and run: the target has none of its own. */
const RWX = / rwxp 00:00 0 /

type Seen = { readonly state: VisibleState; readonly leftovers: number }

export class Steady {
  readonly run = new Run(workloads.find(({ name }) => name === 'steady')!)
  #before: VisibleState = {}
  #vdso = ''

  /** `busy`: its main thread computes. `waiting`: its main thread waits in calls, another computes. */
  async start(main: 'busy' | 'waiting'): Promise<void> {
    await this.run.start(main)
    this.#before = this.#look().state
    this.#vdso = this.vdso()
  }

  /** Stops it as job control does; a dump finds it so. */
  async stop(): Promise<void> {
    syscall(NR.kill, this.pid, SIGSTOP)
    await until('it is stopped', () => / [Tt] /.test(readFileSync(`/proc/${this.pid}/stat`, 'latin1')) || undefined)
  }

  /** Throws unless it is stopped still, none of its threads goes on, and none found anything wrong. */
  async mustBeStopped(what: string): Promise<void> {
    // A tracer that was killed lets go a moment later; what would run on then does so at once.
    const state = (): string => / ([A-Za-z]) /.exec(readFileSync(`/proc/${this.pid}/stat`, 'latin1'))![1]!
    await until(`${what}: it is stopped again`, () => state() === 'T' || undefined, 3000)
    const from = this.#rounds()
    await Bun.sleep(30)
    expect([what, state(), this.#rounds(), this.run.result()]).toEqual([what, 'T', from, ''])
  }

  goOn(): void {
    syscall(NR.kill, this.pid, SIGCONT)
  }

  get pid(): number {
    return this.run.pid
  }

  /** The words of a dump that leaves it running, behind the program's. */
  dumpTo(folder: string): string[] {
    return ['dump', '-t', String(this.pid), '-D', folder, '-R', '-v4', '-o', 'dump.log']
  }

  #look(): Seen {
    // Its own SIGUSR1 may be pending for a moment.
    const state = JSON.parse(
      JSON.stringify(look(this.pid)).replaceAll('SigPnd:\\t0000000000000200', 'SigPnd:\\t0000000000000000'),
    )
    const task = state[this.pid] as { maps: string[]; stat: Record<string, string> }
    const maps = task.maps.filter(line => !RWX.test(line))
    // The size of its memory is that of its mappings.
    const { vsize: _, ...stat } = task.stat
    return { state: { ...state, [this.pid]: { ...task, maps, stat } }, leftovers: task.maps.length - maps.length }
  }

  /** The contents of its vdso, which a dump uses for its first call. */
  vdso(): string {
    const line = readFileSync(`/proc/${this.pid}/maps`, 'latin1')
      .split('\n')
      .find(text => text.endsWith('[vdso]'))!
    const [start, end] = line
      .split(' ')[0]!
      .split('-')
      .map(text => BigInt(`0x${text}`)) as [bigint, bigint]
    return Buffer.from(peek(this.pid, start, Number(end - start))).toString('hex')
  }

  #rounds(): bigint[] {
    return [...new BigUint64Array(readFileSync(this.run.path('rounds')).buffer.slice(0, THREADS * 8))]
  }

  /** Throws unless every thread goes on, none found anything wrong, and all is as before; the leftover mappings. */
  async mustBeAsBefore(what: string): Promise<number> {
    const from = this.#rounds()
    const stuck = (): string =>
      `threads ${this.#rounds()
        .flatMap((count, index) => (count > from[index]! + 1n ? [] : [index]))
        .join(' ')} stand still`
    try {
      await until(
        'all threads go on',
        () => this.#rounds().every((count, index) => count > from[index]! + 1n) || undefined,
        3000,
      )
    } catch {
      throw new Error(`${what}: ${stuck()}\n${this.run.result()}`)
    }
    if (this.run.result() !== '') throw new Error(`${what}:\n${this.run.result()}`)
    // A tracer that was killed lets go a moment later.
    let seen = this.#look()
    for (let tries = 0; tries < 20 && !Bun.deepEquals(seen.state, this.#before); tries++) {
      await Bun.sleep(5)
      seen = this.#look()
    }
    try {
      expect(seen.state).toEqual(this.#before)
    } catch (cause) {
      throw new Error(`${what}: not as before`, { cause })
    }
    return seen.leftovers
  }

  /** As `mustBeAsBefore`, and not a byte of ours is left. */
  async mustBeUntouched(what: string): Promise<void> {
    const leftovers = await this.mustBeAsBefore(what)
    if (leftovers !== 0) throw new Error(`${what}: ${leftovers} mappings are left in it`)
    if (this.vdso() !== this.#vdso) throw new Error(`${what}: its vdso has other contents`)
  }
}
