// Images as CRIU writes them of threads in calls that answer EINTR to any stop, also to that of the dump: in the registers
// is the answer, behind the call. A restore tells whether a signal has made it, and lets the call be made again where none has.
import { expect, test } from 'bun:test'
import { readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { core_entry } from '../../src/image/messages/core.ts'
import { NR } from '../../src/linux/nr.ts'
import { editImage } from './edit-image.ts'
import { Run } from './harness.ts'
import { workloads } from './workload-list.ts'

const [EINTR, SIGUSR1] = [4n, 10]
const SYSCALL_LENGTH = 2n
const SIGINFO_BYTES = 128

/** The thread as CRIU has it: it dumps what it reads after the stop, our dumps are in front of the call again. */
function behindTheCall(core: core_entry): void {
  const { gpregs } = core.thread_info!
  expect([gpregs.ax, BigInt.asIntN(64, gpregs.orig_ax)]).toEqual([BigInt(NR.epoll_wait), -1n])
  gpregs.ip += SYSCALL_LENGTH
  gpregs.orig_ax = BigInt(NR.epoll_wait)
  gpregs.ax = BigInt.asUintN(64, -EINTR)
}

function siginfo(): Uint8Array {
  const info = new Uint8Array(SIGINFO_BYTES)
  info[0] = SIGUSR1
  return info
}

async function restored(change: (core: core_entry, run: Run) => void): Promise<void> {
  await using run = new Run(workloads.find(({ name }) => name === 'interrupted')!)
  await run.start()
  const tid = readdirSync(`/proc/${run.pid}/task`).find(name => name !== String(run.pid))!
  const images = await run.dump()
  editImage(join(images, `core-${tid}.img`), 'CORE', ([core]) => {
    change(core!, run)
    return [core!]
  })
  await run.restore(images)
  await run.finish()
}

test('a call that the dump has cut short is made again', () => restored(behindTheCall), 60_000)

test(
  'a call that a waiting signal has cut short answers EINTR when the handler has run',
  () =>
    restored((core, run) => {
      behindTheCall(core)
      core.thread_core!.signals_p = { signals: [{ siginfo: siginfo() }] }
      writeFileSync(run.path('signalled'), '')
    }),
  60_000,
)
