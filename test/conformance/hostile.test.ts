// Hostile images: real image directories, damaged. Whatever the damage, a restore that is loaded, planned and verified ends
// soon, with a program or with errors that are told to the user, never with a crash or a bug of ours; it takes no memory
// by a length that it has not checked, and makes nothing.
// A failure prints its seed; BARDO_SEED=<seed> repeats it, BARDO_FUZZ_RUNS sets how many directories are tried in all, and
// BARDO_FUZZ_ONLY=<run> tries that one alone.
import { afterAll, describe, expect, test } from 'bun:test'
import {
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { BardoError } from '../../src/base/errors.ts'
import { cpuTimeOf } from '../cpu-time.ts'
import { Run, run as execute } from './harness.ts'
import { programCommand } from './injection.ts'
import { prepare, prepareMeasured } from './planned.ts'
import { childrenOf } from './visible-state.ts'
import { workloads } from './workload-list.ts'

const RUNS = Number(process.env['BARDO_FUZZ_RUNS'] ?? 1500)
const SEED = Number(process.env['BARDO_SEED'] ?? Math.floor(Math.random() * 2 ** 32))
/** One directory may take so much of the CPU: most take some milliseconds, and what grows with a square takes minutes. */
const CPU_MAX_MS = 10_000
/** What one directory may take, of a few hundred kB, or with megabytes of zeros in it. */
const MEMORY_MAX_MB = 48
const ZEROS_BYTES = 8 << 20

const scratchFolder = mkdtempSync(join(tmpdir(), 'bardo-hostile-'))
afterAll(() => rmSync(scratchFolder, { recursive: true, force: true }))

/** A small generator of numbers (mulberry32): the same seed gives the same images everywhere. */
function numbersOf(seed: number): (below: number) => number {
  let state = seed >>> 0
  return below => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below
  }
}

type Random = (below: number) => number

/** A varint as long as one of `length` bytes, so that the fields around it stay where they are. */
function varint(value: bigint, length: number): number[] {
  return Array.from({ length }, (_, index) => {
    const seven = Number((value >> BigInt(7 * index)) & 0x7fn)
    return index === length - 1 ? seven : seven | 0x80
  })
}

/** Changes to one file that damage does, and that an attacker would try. */
function damage(bytes: Uint8Array, random: Random): Uint8Array {
  let out = bytes.slice()
  for (let times = 1 + random(3); times > 0 && out.length > 0; times--) {
    // The magic at the beginning is tried by other tests; here it would hide what comes behind it.
    const at = out.length > 12 && random(20) !== 0 ? 8 + random(out.length - 8) : random(out.length)
    switch (random(9)) {
      case 0:
        out[at] = out[at]! ^ (1 << random(8))
        break
      case 1:
        out[at] = [0, 1, 0x7f, 0x80, 0xff][random(5)]!
        break
      case 2:
        out = out.slice(0, at)
        break
      case 3:
        for (let index = at; index < out.length && index < at + 4; index++)
          out[index] = [0xff, 0xff, 0xff, 0x7f][index - at]!
        break
      case 4: {
        const from = random(out.length)
        out = Uint8Array.from([...out.subarray(0, at), ...out.slice(from, from + random(40)), ...out.subarray(at)])
        break
      }
      case 5:
        out = Uint8Array.from([...out.subarray(0, at), ...out.subarray(at + random(20))])
        break
      case 6: {
        // A number in place of another one of the same length: what the codec has nothing against.
        let end = at
        while (end < out.length && end < at + 9 && out[end]! >= 0x80) end++
        const value = [
          0n,
          1n,
          0xffn,
          0x7fff_ffffn,
          0xffff_ffffn,
          1n << 40n,
          1n << 47n,
          (1n << 63n) - 1n,
          BigInt(random(100_000)),
        ][random(9)]!
        out.set(varint(value, Math.min(end, out.length - 1) - at + 1), at)
        break
      }
      case 7: {
        const longest = Math.min(40, out.length - at)
        const from = random(out.length)
        out.set(out.slice(from, from + random(longest)), at)
        break
      }
      default:
        for (let index = at; index < out.length && index < at + 8; index++) out[index] = random(256)
    }
  }
  return out
}

/** An image directory whose files can be damaged and made good again. */
class Victim {
  readonly folder: string
  readonly #good: ReadonlyMap<string, Uint8Array>
  readonly names: readonly string[]
  #changed = new Set<string>()

  constructor(images: string, name: string) {
    this.folder = join(scratchFolder, name)
    cpSync(images, this.folder, { recursive: true })
    const all = readdirSync(this.folder)
    for (const other of all.filter(one => !one.endsWith('.img'))) rmSync(join(this.folder, other))
    // Pages are bytes that are never looked at before they are in a task; only their length counts.
    this.names = all.filter(one => one.endsWith('.img'))
    this.#good = new Map(this.names.map(one => [one, new Uint8Array(readFileSync(join(this.folder, one)))]))
  }

  /** What was done, in words. */
  hurt(random: Random): string {
    const name = this.names[random(this.names.length)]!
    const path = join(this.folder, name)
    this.#changed.add(name)
    const good = this.#good.get(name)!
    // An earlier damage may have taken it away.
    if (!existsSync(path)) writeFileSync(path, good)
    switch (random(24)) {
      case 0:
        rmSync(path, { force: true })
        return `${name} is missing`
      case 1: {
        const other = this.names[random(this.names.length)]!
        writeFileSync(path, this.#good.get(other)!)
        return `${name} has the contents of ${other}`
      }
      case 2: {
        const length = random(good.length + 1)
        truncateSync(path, length)
        return `${name} is cut to ${length}`
      }
      case 3:
        truncateSync(path, good.length + ZEROS_BYTES)
        return `${name} has megabytes of zeros at its end`
      default:
        if (name.startsWith('pages-')) truncateSync(path, random(good.length + 1))
        else writeFileSync(path, damage(good, random))
        return `${name} is damaged`
    }
  }

  heal(): void {
    for (const name of this.#changed) {
      rmSync(join(this.folder, name), { force: true })
      writeFileSync(join(this.folder, name), this.#good.get(name)!)
    }
    this.#changed.clear()
  }
}

const openFiles = (): number => readdirSync('/proc/self/fd').length

const VICTIMS = [
  'registers',
  'threads',
  'tree',
  'pipes',
  'unlinked',
  'maps',
  'tty-pair',
  'signals',
  'shared-memory',
  'cwd',
  'timers',
  'unix-pair',
]

describe('hostile image directories', () => {
  for (const [index, name] of VICTIMS.entries()) {
    const seed = (SEED + index) >>> 0
    test(`of ${name}, seed ${SEED}`, async () => {
      await using run = new Run(workloads.find(one => one.name === name)!)
      await run.start()
      const images = await run.dump()
      const victim = new Victim(images, name)
      expect(prepare(victim.folder)).toEqual([])
      const random = numbersOf(seed)
      const only = process.env['BARDO_FUZZ_ONLY']
      const [files, children] = [openFiles(), childrenOf(process.pid).length]
      const bugs = new Map<string, string>()
      let refused = 0
      for (let number = 0; number < RUNS / VICTIMS.length; number++) {
        const what = Array.from({ length: 1 + random(2) }, () => victim.hurt(random)).join('; ')
        let found: BardoError[] = []
        let peak_mb = 0
        const took_ms = cpuTimeOf(() => {
          try {
            if (only === undefined || number === Number(only)) ({ found, peak_mb } = prepareMeasured(victim.folder))
          } catch (thrown) {
            const error = thrown as Error
            const place = error.stack?.split('\n').find(line => line.includes('/src/'))
            bugs.set(`${error.name}: ${error.message} ${place?.trim()}`, `run ${number}, ${what}`)
          }
        })
        if (found.length > 0) refused++
        for (const error of found)
          if (error.code === 'bug')
            bugs.set(`bug: ${error.what}; ${error.where}`.replaceAll(/\d+/g, 'N'), `run ${number}, ${what}`)
        if (took_ms > CPU_MAX_MS) bugs.set(`took ${took_ms} ms`, `run ${number}, ${what}`)
        if (peak_mb > MEMORY_MAX_MB) bugs.set(`took ${Math.round(peak_mb)} MB`, `run ${number}, ${what}`)
        victim.heal()
      }
      if (bugs.size > 0)
        throw new Error([...bugs].map(([bug, where]) => `${bug}\n    ${where}, BARDO_SEED=${SEED}`).join('\n'))
      expect(refused).toBeGreaterThan(0)
      // A descriptor that stays open, a process or a file that was made would be a side effect.
      // The runtime closes some of its own meanwhile.
      expect(openFiles()).toBeLessThanOrEqual(files + 2)
      expect(childrenOf(process.pid).length).toBe(children)
      expect(prepare(victim.folder)).toEqual([])
      await run.restore(images)
      await run.finish()
    }, 120_000)
  }
})

test('the command says what is wrong with an image directory', async () => {
  await using run = new Run(workloads.find(one => one.name === 'pipes')!)
  await run.start()
  const images = await run.dump()
  const program = await programCommand()
  const broken = join(run.folder, 'broken')
  const kept = readdirSync(images).filter(name => name.endsWith('.img'))
  const restore = async (what: string): Promise<string> => {
    const ended = await execute([...program, 'restore', '-d', '-D', broken, '-o', 'restore.log'])
    expect([what, ended.exitCode]).toEqual([what, 1])
    return ended.output
  }
  const fresh = (): void => {
    rmSync(broken, { recursive: true, force: true })
    cpSync(images, broken, { recursive: true })
  }
  // A dump that has nothing to say in them leaves them out, so nobody misses them.
  const spare = new Set(['seccomp.img', 'pipes-data.img', ...kept.filter(name => name.startsWith('ids-'))])
  for (const name of kept.filter(one => !spare.has(one))) {
    fresh()
    rmSync(join(broken, name))
    expect(await restore(`${name} is missing`)).toContain(name)
    fresh()
    truncateSync(join(broken, name), Math.floor(statSync(join(broken, name)).size / 2))
    expect(await restore(`${name} is cut`)).toMatch(/^Error: .+/)
  }
  rmSync(broken, { recursive: true })
  await run.restore(images)
  await run.finish()
}, 120_000)
