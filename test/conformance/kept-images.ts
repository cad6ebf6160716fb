// The images of a tree that is gone, to be restored again and again by runs that are killed or fail: whether any of it
// is left then, in processes, files or mounts.
import { lstatSync, readdirSync, readFileSync, rmdirSync, unlinkSync } from 'node:fs'
import { join } from 'node:path'
import { Arena, syscall } from '../../src/linux/ffi.ts'
import { NR } from '../../src/linux/nr.ts'
import { Run, until } from './harness.ts'
import { childrenOf } from './visible-state.ts'
import { workloads } from './workload-list.ts'

const [WNOHANG, WALL] = [1, 0x40000000]
const [SIGKILL, SIGCONT] = [9, 18]
const status = new Arena(4096)

/** What a restore may leave in the folder of the run: logs, statistics, the trace. */
const OWN = /^(trace|images-\d+\/(restore\.log|stats-restore))$/

function filesUnder(folder: string, prefix = ''): string[] {
  return readdirSync(folder, { withFileTypes: true })
    .flatMap(entry =>
      entry.isDirectory()
        ? [`${prefix}${entry.name}/`, ...filesUnder(join(folder, entry.name), `${prefix}${entry.name}/`)]
        : [prefix + entry.name],
    )
    .filter(name => !OWN.test(name))
    .toSorted()
}

export class KeptImages {
  readonly run: Run
  images = ''
  #pids: readonly number[] = []
  #files = ''
  readonly #others = new Set(childrenOf(process.pid))
  readonly #mounts = readFileSync('/proc/self/mountinfo', 'latin1')

  constructor(workload: string) {
    this.run = new Run(workloads.find(({ name }) => name === workload)!)
  }

  /** Starts the workload, and dumps it to death. */
  async make(): Promise<void> {
    await this.run.start()
    this.#pids = this.run.remember()
    this.images = await this.run.dump()
    this.#files = filesUnder(this.run.folder).join('\n')
  }

  /** Kills a tree that was restored. */
  async end(): Promise<void> {
    for (const pid of this.#pids) for (const signal of [SIGKILL, SIGCONT]) syscall(NR.kill, pid, signal)
    await this.mustBeGone('after it was killed')
  }

  /**
   * Waits until all that is left of a restore has ended, and throws if something has not, or if it has left a file.
   * With `names` it may have left names without contents, which are removed.
   */
  async mustBeGone(what: string, names = false): Promise<void> {
    const alive = (): number[] => {
      const ours = childrenOf(process.pid).filter(pid => !this.#others.has(pid))
      for (const pid of ours) syscall(NR.wait4, pid, status.address, WNOHANG | WALL, 0)
      return [...new Set([...ours, ...this.#pids])].filter(pid => syscall(NR.kill, pid, 0) === 0)
    }
    try {
      await until('all are gone', () => alive().length === 0 || undefined, 2000)
    } catch {
      const left = alive()
      const states = left.map(pid => readFileSync(`/proc/${pid}/stat`, 'latin1').slice(0, 60)).join('; ')
      for (const pid of left) syscall(NR.kill, pid, 9)
      throw new Error(`${what}: processes are left: ${states}`)
    }
    if (names) this.#removeNames()
    const files = filesUnder(this.run.folder).join('\n')
    if (files !== this.#files) throw new Error(`${what}: files differ:\n${files}\nfrom\n${this.#files}`)
    if (readFileSync('/proc/self/mountinfo', 'latin1') !== this.#mounts) throw new Error(`${what}: mounts differ`)
  }

  /** Removes what was not there before, if nothing is in it; directories from within. */
  #removeNames(): void {
    const before = new Set(this.#files.split('\n'))
    const fresh = filesUnder(this.run.folder).filter(name => !before.has(name))
    for (const name of fresh.toReversed()) {
      const path = join(this.run.folder, name)
      const stat = lstatSync(path)
      if (stat.isDirectory()) rmdirSync(path)
      else if (stat.isFIFO() || stat.size === 0) unlinkSync(path)
    }
  }
}
