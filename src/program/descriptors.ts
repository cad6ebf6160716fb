// What verify knows of a table of descriptors: which numbers are in use, and how many files are open at numbers that
// only the kernel knows. Processes and threads that share a table share one of these.

export class Descriptors {
  /** The step that placed a file at each number. Shared with tables that are copies of this, until one changes it. */
  #placed: Map<number, number>
  #shared: boolean
  /** Files that are open at numbers not known here. */
  loose: number

  constructor(copied?: Descriptors) {
    this.#placed = copied === undefined ? new Map<number, number>() : copied.#placed
    this.#shared = copied !== undefined
    this.loose = copied === undefined ? 0 : copied.loose
    if (copied !== undefined) copied.#shared = true
  }

  /** The step that placed what is at `number`; undefined if nothing is known to be there. */
  at(number: number): number | undefined {
    return this.#placed.get(number)
  }

  place(number: number, step: number): void {
    this.#own().set(number, step)
  }

  free(number: number): void {
    if (this.#placed.has(number)) this.#own().delete(number)
  }

  /** Closes first to last, both included. What is open at unknown numbers is closed if the range is everything. */
  freeRange(first: number, last: number): void {
    if (last - first < this.#placed.size) for (let number = first; number <= last; number++) this.free(number)
    else for (const number of this.#placed.keys()) if (number >= first && number <= last) this.free(number)
    if (first <= 0 && last >= 0x7fff_ffff) this.loose = 0
  }

  /** The lowest number below `end` that is in use. */
  lowestBelow(end: number): number | undefined {
    if (this.#placed.size === 0) return undefined
    for (let number = 0; number < end; number++) if (this.#placed.has(number)) return number
    return undefined
  }

  /** Tables are copied often (by each clone) and changed seldom: so a copy is made when one of them changes. */
  #own(): Map<number, number> {
    if (this.#shared) {
      this.#placed = new Map(this.#placed)
      this.#shared = false
    }
    return this.#placed
  }
}
