// Each workload: natively; dumped and restored; twice over, with the redump law; beside a dump that leaves it running.
import { describe, expect, test } from 'bun:test'
import { Run } from './harness.ts'
import { differences } from './redump.ts'
import { look, type VisibleState } from './visible-state.ts'
import { workloads, type Workload } from './workload-list.ts'

const limit_ms = 90_000

/** The visible state, or nothing of it for a workload that never stands still. */
const seen = (run: Run): VisibleState => (run.workload.moves.has('tree') ? {} : look(run.pid))

async function native(workload: Workload): Promise<void> {
  await using run = new Run(workload)
  await run.start()
  await run.finish()
}

async function once(workload: Workload): Promise<void> {
  await using run = new Run(workload)
  await run.start()
  const before = seen(run)
  await run.restore(await run.dump())
  expect(seen(run)).toEqual(before)
  await run.finish()
}

async function twice(workload: Workload): Promise<void> {
  await using run = new Run(workload)
  await run.start()
  const before = seen(run)
  const first = await run.dump()
  await run.restore(first)
  const second = await run.dump()
  await run.restore(second)
  expect(seen(run)).toEqual(before)
  if (!workload.moves.has('tree')) expect(differences(first, second, workload.moves)).toEqual([])
  await run.finish()
}

async function leftRunning(workload: Workload): Promise<void> {
  await using run = new Run(workload)
  await run.start()
  const before = seen(run)
  await run.dump({ leaveRunning: true })
  expect(seen(run)).toEqual(before)
  await run.finish()
}

for (const workload of workloads) {
  describe(`workload ${workload.name}`, () => {
    test('runs natively', () => native(workload), limit_ms)
    if (workload.alone !== undefined) return
    test('is dumped and restored', () => once(workload), limit_ms)
    test('is dumped and restored twice, with equal images', () => twice(workload), limit_ms)
    test('runs on when a dump leaves it running', () => leftRunning(workload), limit_ms)
  })
}
