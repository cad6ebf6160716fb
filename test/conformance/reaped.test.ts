// A restore right behind a dump: who was dumped keeps its pid until its parent has heard that it ended.
import { expect, test } from 'bun:test'
import { mkdtempSync, rmSync } from 'node:fs'
import { program, run } from './harness.ts'

/** A parent that takes its time; with `never` it does not hear of it at all. */
const PARENT = `
import os, subprocess, sys, time
program, images, never = sys.argv[1], sys.argv[2], len(sys.argv) > 3
child = os.fork()
if child == 0:
  os.setsid()
  for fd in range(3): os.dup2(os.open("/dev/null", os.O_RDWR), fd)
  os.closerange(3, 99)
  while 1: time.sleep(1000)
time.sleep(0.2)
tree = ["-D", images, "-v4"]
subprocess.run([program, "dump", *tree, "-o", "dump.log", "-t", str(child)], check=True)
print("state", open(f"/proc/{child}/stat").read().split(") ")[1][0])
restore = subprocess.Popen([program, "restore", "-d", *tree, "-o", "restore.log"])
if not never:
  time.sleep(0.2)
  os.waitpid(child, 0)
print("status", restore.wait(), flush=True)
if not never: os.kill(child, 9)
`

for (const never of [false, true])
  test(
    never ? 'a pid that stays in use is an error' : 'a pid that is about to be free is waited for',
    async () => {
      const images = mkdtempSync('/tmp/bardo-reaped-')
      try {
        const { output } = await run(['python3', '-c', PARENT, program, images, ...(never ? ['never'] : [])])
        expect(output).toContain(never ? 'status 1' : 'state Z\nstatus 0\n')
        expect(output.includes('is in use')).toBe(never)
      } finally {
        rmSync(images, { recursive: true, force: true })
      }
    },
    60_000,
  )
