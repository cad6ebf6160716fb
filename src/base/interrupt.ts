// Whether somebody asked us to stop. Handlers must stand before the first PTRACE_SEIZE: without them the default action
// kills the tracer in the middle of a freeze (docs/decisions/runtime.md). The runtime queues JavaScript handlers, and
// the engine never yields while it works, so what the engine polls is told by the kernel, not by a handler that ran:
// the one who installs gives a question that answers without the event loop.

import { perRun } from './run.ts'

/** Answers with the number of a pending SIGHUP, SIGINT or SIGTERM, or 0. */
type Question = () => number

const asking = perRun(() => ({ question: (() => 0) as Question, caught: 0 }))

/** Called by the entry, with the question that fits the platform. */
export function installInterrupts(ask: Question): void {
  asking().question = ask
}

/** The signal that asks us to stop, or 0. Cheap enough for every task and every few megabytes, not for every page. */
export function interrupted(): number {
  const now = asking()
  if (now.caught === 0) now.caught = now.question()
  return now.caught
}
