// The /proc parsers under bytes that no kernel wrote: each either answers or throws its one kind of error, in time that
// grows with the input alone; and under text that a kernel could write: it means what was put in.
// Seeded: a failure prints seed and path, `BARDO_SEED=<seed>` repeats the run, `BARDO_RUNS=<n>` makes it longer.
import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { cpuTimeOf } from '../cpu-time.ts'
import { bytesOf, textOf } from '../../src/base/bytes.ts'
import { BardoError } from '../../src/base/errors.ts'
import { parseAuxv } from '../../src/linux/proc/auxv.ts'
import { parseCgroup } from '../../src/linux/proc/cgroup.ts'
import { parseFdinfo } from '../../src/linux/proc/fdinfo.ts'
import { parseLimits } from '../../src/linux/proc/limits.ts'
import { type Mapping, parseMaps } from '../../src/linux/proc/maps.ts'
import { type Mount, parseMountinfo } from '../../src/linux/proc/mountinfo.ts'
import { parseSmaps, VM_FLAG } from '../../src/linux/proc/smaps.ts'
import { parseStat } from '../../src/linux/proc/stat.ts'
import { parseStatus } from '../../src/linux/proc/status.ts'
import { parseTimers } from '../../src/linux/proc/timers.ts'

const seed = Number(process.env['BARDO_SEED'] ?? Math.floor(Math.random() * 2 ** 31))
const runs = Number(process.env['BARDO_RUNS'] ?? 1500)
console.log(`fuzz of the /proc parsers: BARDO_SEED=${seed}`)
const parameters = { seed, numRuns: runs }

const SMAPS = `7f54b0dab000-7f54b0dac000 rw-s 00000000 fe:00 2187500                    /tmp/new\\012line (deleted)
Size:                  4 kB
KernelPageSize:        4 kB
Rss:                   4 kB
Private_Dirty:         4 kB
VmFlags: rd wr sh mr mw me ms sd zz 
ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]
Rss:                   0 kB
VmFlags: ex 
`
const STATUS = `Name:\ta) (b\\n\\\\x\nUmask:\t0022\nState:\tS (sleeping)\nTgid:\t1\nNgid:\t0\nPid:\t1\nPPid:\t0
TracerPid:\t0\nUid:\t0\t1\t2\t3\nGid:\t0\t1\t2\t3\nGroups:\t4 20 \nNStgid:\t1\t7\nNSpid:\t1\t7\nVmRSS:\t    1784 kB
Threads:\t1\nSigQ:\t0/96365\nSigPnd:\t0000000000000000\nShdPnd:\t0000000000000000\nSigBlk:\tfffffffe7ffbfeff
SigIgn:\t0000000000001000\nSigCgt:\t0000000000000002\nCapInh:\t0000000000000000\nCapPrm:\t000001fffeffffff
CapEff:\t000001fffeffffff\nCapBnd:\t000001fffeffffff\nCapAmb:\t0000000000000000\nNoNewPrivs:\t0\nSeccomp:\t0
Seccomp_filters:\t0\nnonvoluntary_ctxt_switches:\t1
`
const STAT =
  '20590 (a) (b) R 20586 20586 6181 0 -1 4194304 2969 6587 3 0 3 0 3 1 20 0 1 0 129139 17358848 3493 ' +
  '18446744073709551615 94343865483264 94343865483605 140726103977600 0 0 0 0 16781312 2 0 0 0 17 1 0 0 0 0 0 ' +
  '94215766154288 94215766155904 94216116301824 140727527942592 140727527942705 140727527942705 140727527944171 0\n'
const LIMITS = [
  'Limit                     Soft Limit           Hard Limit           Units     ',
  ...'cpu time,file size,data size,stack size,core file size,resident set,processes,open files'.split(','),
  ...'locked memory,address space,file locks,pending signals,msgqueue size,nice priority'.split(','),
  'realtime priority',
  'realtime timeout',
]
  .map((name, i) => (i === 0 ? name : `${`Max ${name}`.padEnd(26)}${'8388608'.padEnd(21)}${'unlimited'.padEnd(21)}us`))
  .join('\n')

const targets: { file: string; parse: (bytes: Uint8Array) => unknown; sample: Uint8Array }[] = [
  { file: 'maps', parse: parseMaps, sample: bytesOf(SMAPS.replace(/^[A-Z].*\n/gm, '')) },
  { file: 'smaps', parse: parseSmaps, sample: bytesOf(SMAPS) },
  { file: 'stat', parse: parseStat, sample: bytesOf(STAT) },
  { file: 'status', parse: parseStatus, sample: bytesOf(STATUS) },
  {
    file: 'fdinfo',
    parse: parseFdinfo,
    sample: bytesOf('pos:\t-12\nflags:\t0100002\nmnt_id:\t27\nino:\t3\nlock:\t1: FLOCK\neventfd-count:   3\nx\n'),
  },
  {
    file: 'mountinfo',
    parse: parseMountinfo,
    sample: bytesOf('36 35 98:0 /a\\040b /c rw,x shared:1 master:2 unbindable new:x - fuse.a \\043s rw,l=a\\054b\n'),
  },
  { file: 'limits', parse: parseLimits, sample: bytesOf(`${LIMITS}\n`) },
  { file: 'auxv', parse: parseAuxv, sample: new Uint8Array(BigUint64Array.of(6n, 4096n, 33n, 7n, 0n, 0n).buffer) },
  { file: 'cgroup', parse: parseCgroup, sample: bytesOf('4:cpu,cpuacct:/a b:c\n0::/x (deleted)\n') },
  {
    file: 'timers',
    parse: parseTimers,
    sample: bytesOf('ID: 1\nsignal: 60/00007fff86e452a8\nnotify: thread/tid.2634\nClockID: -6\n'),
  },
]

/**
 * One change: bytes from `at` on replaced, taken out, put in, doubled, or the file cut there. Places in thousandths.
 */
const likelyBytes = fc.constantFrom(...bytesOf('\n\t :/-.,()\\0189afxRSZu'), 0, 0x80, 0xff)
const change = fc.record({
  kind: fc.constantFrom('set', 'remove', 'insert', 'double', 'cut'),
  at: fc.nat(1000),
  length: fc.nat(40),
  bytes: fc.array(fc.oneof(likelyBytes, fc.nat(255)), { maxLength: 24 }),
})

function changed(
  sample: Uint8Array,
  { kind, at, length, bytes }: typeof change extends fc.Arbitrary<infer T> ? T : never,
) {
  const from = Math.floor((at * sample.length) / 1001)
  const [before, after, rest] = [sample.subarray(0, from), sample.subarray(from), sample.subarray(from + length)]
  if (kind === 'cut') return before
  if (kind === 'remove') return Uint8Array.of(...before, ...rest)
  if (kind === 'insert') return Uint8Array.of(...before, ...bytes, ...after)
  if (kind === 'double') return Uint8Array.of(...before, ...after.subarray(0, length), ...after)
  return Uint8Array.of(...before, ...bytes, ...after.subarray(bytes.length))
}

describe('bytes that no kernel wrote', () => {
  for (const { file, parse, sample } of targets) {
    const survives = (bytes: Uint8Array) => {
      const copy = bytes.slice()
      try {
        parse(bytes)
      } catch (error) {
        if (!(error instanceof BardoError)) throw error
        expect(error.code).toBe('bug')
        // File and offset, an offset that is in the file or at its end.
        const [, name, at, length] = /^(\w+), byte (\d+) of (\d+)$/.exec(error.where ?? '') ?? []
        expect([name, Number(length)]).toEqual([file, bytes.length])
        expect(Number(at)).toBeLessThanOrEqual(bytes.length)
      }
      expect(bytes).toEqual(copy)
    }

    test(`${file}: a sample is taken`, () => void parse(sample))
    test(`${file}: any bytes`, () => {
      fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), survives), parameters)
      fc.assert(
        fc.property(
          fc.array(likelyBytes).map(bytes => Uint8Array.from(bytes)),
          survives,
        ),
        parameters,
      )
    })
    test(`${file}: a sample with changes`, () => {
      const changes = fc.array(change, { minLength: 1, maxLength: 4 })
      fc.assert(
        fc.property(
          changes.map(all => all.reduce(changed, sample)),
          survives,
        ),
        parameters,
      )
    })
    test(`${file}: cut anywhere it never gives less than it has`, () => {
      for (let length = 1; length < sample.length; length++) {
        const cut = sample.slice(0, length)
        survives(cut)
        // What is a whole line to the byte is a whole file for some; a cut inside of a line is never taken.
        if (file !== 'auxv' && cut[length - 1] !== 0x0a) expect(() => parse(cut)).toThrow(BardoError)
      }
    })
  }
})

test('a hostile megabyte takes no more than its share of time', () => {
  const fills = Array.from(bytesOf('\n (,:-\\0f)'), byte => new Uint8Array(1 << 20).fill(byte))
  for (const { parse, sample } of targets)
    for (const fill of fills) {
      const bytes = Uint8Array.of(...sample.subarray(0, -1))
      const input = new Uint8Array(bytes.length + fill.length)
      input.set(bytes)
      input.set(fill, bytes.length)
      const took_ms = cpuTimeOf(() => {
        try {
          parse(input)
        } catch (error) {
          expect(error).toBeInstanceOf(BardoError)
        }
      })
      // What grows with the square of a megabyte would take hours.
      expect(took_ms).toBeLessThan(5000)
    }
}, 120_000)

// A name as the kernel may hold it: any byte but NUL.
const name = (options: { minLength?: number; maxLength: number }) =>
  fc
    .array(fc.oneof(likelyBytes, fc.nat(255)), options)
    .map(bytes => textOf(Uint8Array.from(bytes.map(byte => byte || 0x41))))
const bytesToText = (text: string, escape: (byte: number) => string | undefined) =>
  textOf(Uint8Array.from([...bytesOf(text)].flatMap(byte => [...bytesOf(escape(byte) ?? textOf(Uint8Array.of(byte)))])))
const octal = (byte: number) => `\\${byte.toString(8).padStart(3, '0')}`
const u64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })
const pages = fc
  .oneof(fc.bigInt({ min: 0n, max: 2n ** 35n }), fc.bigInt({ min: 0n, max: 2n ** 52n - 2n }))
  .map(n => n * 4096n)
const numberOrBigint = (value: bigint) => (value <= Number.MAX_SAFE_INTEGER ? Number(value) : value)

const mapping = fc
  .record({
    start: pages,
    pages: fc.bigInt({ min: 1n, max: 1000n }),
    prot: fc.nat(7),
    shared: fc.boolean(),
    pgoff: pages,
    major: fc.nat(4095),
    minor: fc.nat(0xfffff),
    ino: fc.oneof(fc.nat().map(BigInt), u64),
    path: fc.oneof(
      fc.constant(''),
      fc.constant('[heap]'),
      name({ maxLength: 30 }).map(text => `/${text}`),
    ),
    deleted: fc.boolean(),
  })
  .map(({ start, pages: count, pgoff, ino, path, deleted, ...rest }): { text: string; expected: Mapping } => {
    const end = start + count * 4096n < 2n ** 64n ? start + count * 4096n : 2n ** 64n - 4096n
    const from = start < end ? start : end - 4096n
    const whole = path.startsWith('/') && deleted ? `${path} (deleted)` : path
    const hex = (value: bigint | number, width: number) => value.toString(16).padStart(width, '0')
    const bits = Array.from('rwx', (letter, bit) => (rest.prot & (1 << bit) ? letter : '-')).join('')
    const range = `${hex(from, 8)}-${hex(end, 8)} ${bits}${rest.shared ? 's' : 'p'}`
    const head = `${range} ${hex(pgoff, 8)} ${hex(rest.major, 2)}:${hex(rest.minor, 2)} ${ino} `
    const shown = bytesToText(whole, byte => (byte === 0x0a ? octal(byte) : undefined))
    // A literal `\012` cannot be told from a newline: that is the kernel's, and the flag says so.
    const path2 = whole.replaceAll('\\012', '\n')
    return {
      text: `${whole === '' ? head : head.padEnd(73) + shown}\n`,
      expected: {
        start: Number(from),
        end: Number(end),
        pgoff_bytes: Number(pgoff),
        ino: numberOrBigint(ino),
        ...rest,
        path: path2,
        deleted: path2.endsWith(' (deleted)'),
        escaped: path2.includes('\n'),
      },
    }
  })

describe('text that a kernel could write', () => {
  test('maps and smaps', () => {
    const codes = fc.uniqueArray(fc.constantFrom(...(Object.keys(VM_FLAG) as (keyof typeof VM_FLAG)[])))
    const all = fc.array(fc.tuple(mapping, fc.nat(), codes), { maxLength: 8 })
    fc.assert(
      fc.property(all, entries => {
        const maps = entries.map(([{ text }]) => text).join('')
        const expected = entries.map(([{ expected: each }]) => each)
        expect(parseMaps(bytesOf(maps))).toEqual(expected)
        const smaps = entries.map(
          ([{ text }, kb, flags]) => `${text}Rss: ${kb} kB\nNew_Thing: 1\nVmFlags: ${flags.join(' ')} \n`,
        )
        const detailed = parseSmaps(bytesOf(smaps.join('')))
        expect(detailed.length).toBe(entries.length)
        for (const [i, [{ expected: each }, rss_kb, flags]] of entries.entries())
          expect(detailed[i]).toMatchObject({
            ...each,
            rss_kb,
            vmflags: flags.reduce((mask, code) => mask | VM_FLAG[code], 0n),
          })
      }),
      parameters,
    )
  })

  test('names in stat and status', () => {
    fc.assert(
      fc.property(name({ maxLength: 15 }), u64, (comm, mask) => {
        expect(parseStat(bytesOf(STAT.replace('a) (b', () => comm))).comm).toBe(comm)
        const shown = bytesToText(comm, byte => (byte === 0x0a ? '\\n' : byte === 0x5c ? '\\\\' : undefined))
        const text = STATUS.replace(/^Name:.*/, () => `Name:\t${shown}`).replace(
          'fffffffe7ffbfeff',
          mask.toString(16).padStart(16, '0'),
        )
        expect(parseStatus(bytesOf(text))).toMatchObject({ name: comm, sigBlk: mask })
      }),
      parameters,
    )
  })

  test('mountinfo', () => {
    const item = name({ minLength: 1, maxLength: 12 })
    const mount = fc.record<Mount>({
      id: fc.nat(),
      parent: fc.nat(),
      major: fc.nat(),
      minor: fc.nat(),
      root: item,
      mountpoint: item,
      options: fc.array(item, { minLength: 1, maxLength: 3 }),
      optional: fc.record(
        { shared: fc.nat(), master: fc.nat(), propagate_from: fc.nat(), unbindable: fc.constant(true) },
        { requiredKeys: [] },
      ),
      fstype: item,
      source: name({ maxLength: 12 }),
      superOptions: fc.array(item, { minLength: 1, maxLength: 3 }),
    })
    const mangled = (text: string) =>
      bytesToText(text, byte =>
        textOf(bytesOf(' \t\n\\#,')).includes(String.fromCharCode(byte)) ? octal(byte) : undefined,
      )
    const render = (each: Mount) => {
      const tags = Object.entries(each.optional).map(([tag, value]) =>
        value === true ? ` ${tag}` : ` ${tag}:${value}`,
      )
      const list = (items: string[]) => items.map(mangled).join(',')
      const ids = `${each.id} ${each.parent} ${each.major}:${each.minor}`
      const place = `${mangled(each.root)} ${mangled(each.mountpoint)} ${list(each.options)}${tags.join('')}`
      return `${ids} ${place} - ${mangled(each.fstype)} ${mangled(each.source)} ${list(each.superOptions)}\n`
    }
    fc.assert(
      fc.property(fc.array(mount, { maxLength: 4 }), mounts => {
        expect(parseMountinfo(bytesOf(mounts.map(render).join('')))).toEqual(mounts)
      }),
      parameters,
    )
  })
})
