// What the engine says about its progress; who shows it is decided above (cli/progress.ts).

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

let shown: Progress = silent

export const progress: Progress = {
  stage: name => shown.stage(name),
  bytes: (done, total) => shown.bytes(done, total),
  end() {
    shown.end()
    shown = silent
  },
}

/** Sends what the engine says to `target`. */
export function showProgress(target: Progress): void {
  shown = target
}
