// A process whose vdso is that of another kernel goes on with the one of this kernel: where it knows the functions of its
// old one to be, jumps to those of ours are laid.
import { expect, test } from 'bun:test'
import { readFileSync } from 'node:fs'
import { Run } from './harness.ts'
import { workloads } from './workload-list.ts'

const AT_SYSINFO_EHDR = 33n

/** Where the process was told at its start that its vdso is, and where the kernel's own lies now. */
function vdsosOf(pid: number): { told: bigint; own: bigint } {
  const auxv = readFileSync(`/proc/${pid}/auxv`)
  let told = 0n
  for (let at = 0; at < auxv.length; at += 16)
    if (auxv.readBigUInt64LE(at) === AT_SYSINFO_EHDR) told = auxv.readBigUInt64LE(at + 8)
  const line = readFileSync(`/proc/${pid}/maps`, 'latin1')
    .split('\n')
    .find(one => one.endsWith('[vdso]'))!
  return { told, own: BigInt(`0x${line.split('-')[0]}`) }
}

test('a vdso of another kernel leads to that of this one', async () => {
  await using run = new Run(workloads.find(({ name }) => name === 'vdso-foreign')!)
  await run.start()
  for (const pid of run.remember()) expect(vdsosOf(pid).own).toBe(vdsosOf(pid).told)
  // A thread is in the old vdso nearly always, and must be out of it before it can be written over.
  for (let times = 0; times < 5; times++) {
    await run.restore(await run.dump())
    for (const pid of run.remember()) expect(vdsosOf(pid).own).not.toBe(vdsosOf(pid).told)
  }
  await run.finish()
}, 120_000)
