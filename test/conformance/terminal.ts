// Pseudo-terminals that belong to the tests: the terminals outside the trees that are dumped.
import { closeSync, constants, openSync, readSync, statSync, writeSync } from 'node:fs'
import { Arena, syscall } from '../../src/linux/ffi.ts'
import { NR } from '../../src/linux/nr.ts'

const [TIOCSPTLCK, TIOCGPTN, TIOCSWINSZ] = [0x40045431, 0x80045430, 0x5414]

const words = new Arena(4096)

/** A pair: we are the terminal emulator, the program runs on `path`. */
export class Terminal {
  readonly master: number
  /** Open for giving it to programs, and so that the terminal does not hang up between two of them. */
  readonly slave: number
  readonly path: string
  #heard = ''
  #isUp = true

  constructor(rows = 24, columns = 80) {
    this.master = openSync('/dev/ptmx', constants.O_RDWR | constants.O_NOCTTY | constants.O_NONBLOCK)
    words.view.setUint32(0, 0, true)
    this.#ioctl(TIOCSPTLCK)
    this.#ioctl(TIOCGPTN)
    this.path = `/dev/pts/${words.view.getUint32(0, true)}`
    for (const [index, value] of [rows, columns, 0, 0].entries()) words.view.setUint16(2 * index, value, true)
    this.#ioctl(TIOCSWINSZ)
    this.slave = openSync(this.path, constants.O_RDWR | constants.O_NOCTTY)
  }

  #ioctl(request: number): void {
    const result = syscall(NR.ioctl, this.master, request, words.address)
    if (result < 0) throw new Error(`ioctl ${request.toString(16)} of a terminal: errno ${-result}`)
  }

  /** As options name it: `rdev:dev`, in hex. */
  get key(): string {
    const { rdev, dev } = statSync(this.path)
    return `${rdev.toString(16)}:${dev.toString(16)}`
  }

  /** All that was written to it so far. */
  heard(): string {
    const buffer = Buffer.alloc(4096)
    for (;;) {
      let count = 0
      try {
        count = readSync(this.master, buffer)
      } catch {
        // EAGAIN: nothing more for now. EIO: nobody is there any more.
      }
      if (count === 0) return this.#heard
      this.#heard += buffer.toString('latin1', 0, count)
    }
  }

  /** Types. */
  say(text: string): void {
    writeSync(this.master, text)
  }

  /** Closes the master, as a window does that is closed. */
  hangUp(): void {
    closeSync(this.master)
    this.#isUp = false
  }

  [Symbol.dispose](): void {
    closeSync(this.slave)
    if (this.#isUp) closeSync(this.master)
  }
}
