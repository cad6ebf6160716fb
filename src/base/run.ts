// One run of the program, and what is known only in it.
//
// The executable starts from memory that its build has left behind, in which all modules are loaded and have worked already
// (docs/decisions/frozen-start.md). What a module kept then is of another machine, another user, another moment. So
// modules keep nothing in variables of their own (test/tidy.test.ts), but through the two functions here.

const atBegin: (() => void)[] = []

/** Calls `forget` when a run begins, to forget what an earlier one has left. */
export function eachRun(forget: () => void): void {
  atBegin.push(forget)
}

/** A value that holds for one run, such as what the kernel can do: found when it is first asked for. */
export function perRun<T>(find: () => T): () => T {
  let kept: { readonly value: T } | undefined
  eachRun(() => (kept = undefined))
  return () => (kept ??= { value: find() }).value
}

/** A value that holds for every run, such as a buffer or a table made of constants: made when it is first asked for. */
export function once<T>(make: () => T): () => T {
  let kept: { readonly value: T } | undefined
  return () => (kept ??= { value: make() }).value
}

/** The variables of the environment, as text of bytes (base/bytes.ts). */
export type Environment = Readonly<Record<string, string | undefined>>

/** What a run is told from outside, where it is not what the runtime has seen at its own start. */
export type Told = {
  readonly environment: Environment
  /** A clock that never goes back, in milliseconds since any moment. */
  readonly clock_ms: () => number
}

let told: Told = { environment: Bun.env, clock_ms: () => performance.now() }
// The runtime's clock starts with the process, and so do CRIU's times.
let begin_ms = 0

/** Begins a run anew: everything that was kept of an earlier one is forgotten. */
export function beginRun(anew: Told): void {
  for (const forget of atBegin) forget()
  told = anew
  begin_ms = anew.clock_ms()
}

/** Milliseconds since the run began. */
export const now_ms = (): number => told.clock_ms() - begin_ms

export const environment = (): Environment => told.environment
