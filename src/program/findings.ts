// What verify finds, as errors: each wrong thing once, at the first step where it shows, with how often it shows again.
import { BardoError } from '../base/errors.ts'
import type { Step } from './program.ts'

type Finding = { readonly what: string; readonly why: string | undefined; readonly index: number; more: number }
type Taken = { readonly pid: number; readonly name: string; readonly index: number }

const REPORT = 'this is a bug of Bardo: please report it with the output of restore --explain'

export class Findings {
  readonly #steps: readonly Step[]
  readonly #wrong = new Map<string, Finding>()
  readonly #taken: Taken[] = []

  constructor(steps: readonly Step[]) {
    this.#steps = steps
  }

  /** Notes what is wrong in step `index`, under a key that is the same for the same thing. */
  add(key: string, index: number, what: string, why?: string): void {
    const known = this.#wrong.get(key)
    if (known === undefined) this.#wrong.set(key, { what, why, index, more: 0 })
    else if (known.index !== index) known.more++
  }

  /** Notes that step `index` needs an id that a process `name` of this host has. */
  addTaken(pid: number, name: string, index: number): void {
    this.#taken.push({ pid, name, index })
  }

  /** All of them, by steps; what is not the program's fault comes last. */
  get errors(): BardoError[] {
    const wrong = [...this.#wrong.values()].toSorted((a, b) => a.index - b.index)
    return [...wrong.map(finding => this.#bug(finding)), ...this.#taken.map(taken => this.#refusal(taken))]
  }

  #placeOf(index: number): string {
    const step = this.#steps[index]
    if (step === undefined) return 'a program of no steps'
    return `${step.for.what}; phase ${step.for.phase}, step ${index + 1} of ${this.#steps.length}`
  }

  #bug({ what, why, index, more }: Finding): BardoError {
    const again = more === 0 ? undefined : more === 1 ? 'and in another step' : `and in ${more} more steps`
    const reasons = [why, again].filter(one => one !== undefined)
    return new BardoError('bug', what, {
      where: this.#placeOf(index),
      why: reasons.length === 0 ? undefined : reasons.join('; '),
      hint: REPORT,
    })
  }

  #refusal({ pid, name, index }: Taken): BardoError {
    return new BardoError('refused', `pid ${pid} is in use`, {
      where: `process ${pid} "${name}" has it`,
      why: `it is needed for ${this.#placeOf(index)}`,
      hint: 'end it, or restore in a new pid namespace: unshare --pid --fork --mount-proc bardo restore …',
    })
  }
}
