// Before a stop behind which the tree runs on: what of the work only reads is done once already, on the running root. What it finds
// is thrown away, and so is what fails; but the runtime has the code at hand then, and runs it in a third of the time.
import { Report } from '../base/errors.ts'
import type { DumpOptions } from '../base/options.ts'
import { ImageWriter } from '../image/writer.ts'
import { AT_FDCWD, PAGE_SIZE } from '../linux/constants.ts'
import { readOnce } from '../linux/sys.ts'
import { textOf } from '../base/bytes.ts'
import { Process } from '../tracee/stopped.ts'
import { pagemapEntries } from '../kinds/mem/pages.ts'
import { findBootPlace } from '../tracee/boot-place.ts'
import { isLeftBehind } from '../tracee/leftover.ts'
import { FileCollector } from './files.ts'
import { MemoryCollector } from './memory.ts'
import { findForeignNamespaces } from './namespaces.ts'
import { readProcess } from './tasks.ts'

/** Of more memory, the page tables and mappings alone take longer than the code, and the stop is copying anyway. */
const [SIZE_MAX, RESIDENT_MAX] = [2 ** 32, 2 ** 26]

/** Never throws. */
export function rehearse(options: DumpOptions): void {
  // Nothing is ever written by it: it has no directory.
  const images = new ImageWriter(-1)
  try {
    const { pid } = options
    const [size = 0, resident = 0] = textOf(readOnce(AT_FDCWD, `/proc/${pid}/statm`)!)
      .split(' ')
      .map(Number)
    if (size * PAGE_SIZE > SIZE_MAX || resident * PAGE_SIZE > RESIDENT_MAX) return
    const facts = readProcess(new Process(pid, undefined))
    const none = (): boolean => false
    const report = new Report()
    using files = new FileCollector({ images, options, report, sessions: [], hasSession: none, hasTask: none })
    for (const name of ['exe', 'cwd', 'root']) report.collect(() => files.named(facts, name))
    findForeignNamespaces(pid, '')
    findBootPlace(pid, facts.mappings)
    for (const mapping of facts.mappings) isLeftBehind(pid, mapping)
    new MemoryCollector(images, files, report).survey(facts, new Set(), BigInt(facts.stat.start_brk))
    images.add('PAGEMAP', [pid], { pages_id: 1 })
    images.addAll('PAGEMAP', [pid], pagemapEntries([{ start: 0, end: PAGE_SIZE, lazy: false, readable: true }]))
  } catch {
    // Whatever is wrong with the root, the stop will tell.
  } finally {
    images.discard()
  }
}
