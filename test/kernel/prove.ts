// Builds and runs a proof of kernel behaviour: the C program beside a test file, of the same name.
import { test } from 'bun:test'
import { basename, join } from 'node:path'
import { compile } from '../conformance/workload-list.ts'

const SKIPPED = 77
const limit_ms = 60_000

/** Declares the test of `belief`, proved by the program beside `testFile`. */
export function prove(testFile: string, belief: string): void {
  const name = basename(testFile, '.test.ts')
  const source = join(import.meta.dir, `${name}.c`)
  test(
    `${name}: ${belief}`,
    async () => {
      const binFolder = join(import.meta.dir, '..', 'workloads', 'bin', 'kernel')
      const binary = compile(source, binFolder, name, ['-pthread'], [join(import.meta.dir, 'kernel.h')])
      const child = Bun.spawn([binary], {
        stdin: 'ignore',
        stdout: 'pipe',
        stderr: 'pipe',
        timeout: limit_ms / 2,
        killSignal: 'SIGKILL',
      })
      const [out, err, exitCode] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited])
      if (exitCode === SKIPPED) console.log(`skipped ${name}: ${out.trim()}`)
      else if (exitCode !== 0) throw new Error(`${name} ended with ${exitCode}\n${out}${err}`)
    },
    limit_ms,
  )
}
