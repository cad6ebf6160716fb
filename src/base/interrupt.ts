// Whether somebody asked us to stop. Handlers must stand before the first PTRACE_SEIZE: without them the default action
// kills the tracer in the middle of a freeze (docs/decisions/runtime.md). The runtime queues JavaScript handlers, and
// the engine never yields while it works, so what the engine polls is told by the kernel, not by a handler that ran:
// the one who installs gives a question that answers without the event loop.

/** Answers with the number of a pending SIGHUP, SIGINT or SIGTERM, or 0. */
type Question = () => number

let question: Question = () => 0
let caught = 0

/** Called by the entry, with the question that fits the platform. */
export function installInterrupts(ask: Question): void {
  question = ask
}

/** The signal that asks us to stop, or 0. Cheap enough for every task and every few megabytes, not for every page. */
export function interrupted(): number {
  if (caught === 0) caught = question()
  return caught
}
