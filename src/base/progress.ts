// What the engine says about its progress; who shows it is decided above (cli/progress.ts).

import { eachRun } from './run.ts'

/** Told by the engine, from its synchronous main line; every call returns at once. */
export interface Progress {
  /** A new stage begins, such as `collecting tasks` or `writing memory`. */
  stage(name: string): void
  /** Of the stage's `total` bytes (0 when unknown) `done` are done. */
  bytes(done: number, total: number): void
  /** From now on the terminal belongs to somebody else, such as the restored tree: nothing more is shown. */
  end(): void
}

const silent: Progress = { stage() {}, bytes() {}, end() {} }

const to = { shown: silent }
eachRun(() => (to.shown = silent))

export const progress: Progress = {
  stage: name => to.shown.stage(name),
  bytes: (done, total) => to.shown.bytes(done, total),
  end() {
    to.shown.end()
    to.shown = silent
  },
}

/** Sends what the engine says to `target`. */
export function showProgress(target: Progress): void {
  to.shown = target
}
