// The memory of all processes: mappings with their files, pages, shared memory once.
import { whereOf, type ProcessFacts } from './tasks.ts'
import type { Report } from '../base/errors.ts'
import { progress } from '../base/progress.ts'
import type { ImageWriter } from '../image/writer.ts'
import { PAGE_SIZE } from '../linux/constants.ts'
import type { FlaggedMapping } from '../linux/proc/smaps.ts'
import { findPages, KeptPages, savePages, type PageRun } from '../kinds/mem/pages.ts'
import { saveMappings, type Saved } from '../kinds/mem/mappings.ts'
import { saveMemoryFile, saveSharedMemory } from '../kinds/mem/shared.ts'
import type { Remote } from '../tracee/remote.ts'
import type { FileCollector } from './files.ts'

export type MemoryCounts = {
  pages_scanned: number
  pages_written: number
  shpages_scanned: number
  shpages_written: number
}

const rangeOf = (saved: Saved): string => `${saved.source.start.toString(16)}-${saved.source.end.toString(16)}`

export class MemoryCollector {
  readonly #images: ImageWriter
  readonly #files: FileCollector
  readonly #report: Report
  /** File ids by what maps says of the file: asked for once, however many tasks map it. */
  readonly #fileIds = new Map<string, number>()
  /** Shared memory to be saved, by inode: where it is mapped. */
  readonly #shared = new Map<number, { pid: number; range: string }>()
  readonly #runs = new Map<number, PageRun[]>()
  readonly #small: KeptPages
  #pagesId = 0
  readonly counts: MemoryCounts = { pages_scanned: 0, pages_written: 0, shpages_scanned: 0, shpages_written: 0 }

  constructor(images: ImageWriter, files: FileCollector, report: Report) {
    this.#images = images
    this.#files = files
    this.#report = report
    this.#small = new KeptPages(images)
  }

  /** Looks at the mappings of a process and saves their files; what cannot be carried over goes to the report. */
  survey(facts: ProcessFacts, leftBehind: ReadonlySet<FlaggedMapping>, brk: bigint): Saved[] {
    const heap = { start: facts.stat.start_brk, end: Number(brk) }
    // The facts were read before our scratch memory came; what a killed run left is gone again.
    const saved = saveMappings(
      facts.mappings.filter(mapping => !leftBehind.has(mapping)),
      heap,
    )
    for (const one of saved) {
      const { backing, vma, source } = one
      if (backing.kind === 'refused') this.#report.add(backing.error.about(whereOf(facts)))
      else if (backing.kind === 'shared') {
        vma.shmid = BigInt(backing.ino)
        if (!this.#shared.has(backing.ino)) this.#shared.set(backing.ino, { pid: facts.pid, range: rangeOf(one) })
      } else if (backing.kind === 'file') {
        const key = `${source.major}:${source.minor}:${source.ino}:${backing.flags}:${source.path}`
        let id = this.#fileIds.get(key)
        if (id === undefined) {
          id = this.#report.collect(() => this.#files.named(facts, `map_files/${rangeOf(one)}`, backing.flags)) ?? 0
          this.#fileIds.set(key, id)
        }
        vma.shmid = BigInt(id)
      }
    }
    const runs = findPages(facts.pid, saved)
    this.#runs.set(facts.pid, runs)
    for (const { source } of saved) this.counts.pages_scanned += (source.end - source.start) / PAGE_SIZE
    return saved
  }

  /** Writes the pages of all processes and the shared memory, or keeps them: `finish` writes what is left. */
  write(processes: readonly { facts: ProcessFacts; remote: Remote }[]): void {
    progress.stage('writing memory')
    for (const [ino, { pid, range }] of this.#shared) {
      const pages = saveSharedMemory(this.#images, pid, range, ino, ++this.#pagesId)
      this.counts.shpages_written += pages
    }
    for (const [id, fd] of this.#files.memories)
      this.counts.shpages_written += saveMemoryFile(this.#images, fd, id, ++this.#pagesId)
    for (const { facts, remote } of processes) {
      const runs = this.#runs.get(facts.pid)
      if (runs === undefined) continue
      const { pid, process } = facts
      this.counts.pages_written += savePages(
        this.#images,
        this.#small,
        pid,
        pid,
        ++this.#pagesId,
        remote,
        process.leader,
        runs,
      )
    }
  }

  /** Needs the processes no more. */
  finish(): void {
    this.#small.write()
  }
}
