// Real programs on real terminals: each is dumped in one window, restored in another one of another size, and used on.
import { afterAll, expect, test } from 'bun:test'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { program, until } from './harness.ts'
import { areGone, killTree, Shell, stateOf } from './shell.ts'

const limit_ms = 60_000
const folder = mkdtempSync('/tmp/bardo-programs-')
afterAll(() => rmSync(folder, { recursive: true, force: true }))

type Step = (window: Shell) => Promise<unknown>
const shows =
  (what: string | RegExp): Step =>
  window =>
    window.shows(what)
const types =
  (keys: string, then?: string | RegExp): Step =>
  async window => {
    window.type(keys)
    if (then !== undefined) await window.shows(then)
  }

type Program = {
  readonly name: string
  /** The program file: without it, the test is skipped. */
  readonly file: string
  readonly command: string
  readonly before: readonly Step[]
  readonly after: readonly Step[]
  /** Put on a terminal of its own by `--tty new`, not as the window's job. */
  readonly own?: true
}

const lines = Array.from({ length: 300 }, (_, i) => `line ${i + 1} of the text`).join('\n')
writeFileSync(`${folder}/text`, `${lines}\n`)

const programs: readonly Program[] = [
  {
    name: 'cat',
    file: '/usr/bin/cat',
    command: 'cat',
    before: [types('one\n', /one\none/)],
    after: [types('two\n', /two\ntwo/), types('\x04')],
  },
  {
    name: 'bash, with variables, a function, a background and a stopped job',
    file: '/usr/bin/bash',
    command: 'bash --norc --noprofile -i',
    own: true,
    before: [
      types('PS1="inner> "\n', 'inner> '),
      types('secret=$((6 * 7)); double() { echo $((2 * $1)); }\n'),
      types('sleep 4000 &\n', '[1]'),
      types('sh -c \'trap "echo back" CONT; echo going; while :; do sleep 0.2; done\'\n', /^going/m),
      types('\x1a', /Stopped/),
      types('echo $secret-ready\n', /^42-ready/m),
    ],
    after: [
      types('clear; echo $secret; double 300; stty size\n', /^42\n600\n33 101/m),
      types('clear; jobs\n', /Stopped[^]*Running|Running[^]*Stopped/),
      types('fg\n', /^back/m),
      types('\x03', /\^C\s+inner>/),
      types('kill %1; wait\n', /Terminated/),
      // A ^C before the job has the terminal would be the shell's.
      types("clear; sh -c 'echo up; exec sleep 1000'\n", /^up/m),
      types('\x03', /\^C\s+inner>/),
      types('exit\n'),
    ],
  },
  {
    name: 'vim with an unsaved buffer',
    file: '/usr/bin/vim',
    command: `vim -u NONE -n ${folder}/notes`,
    before: [shows(/^~/m), types('ihello from before', 'hello from before'), types('\x1bo')],
    after: [
      // Drawn again over the whole of the new window: the last line is the new one's.
      shows(/^hello from before\n/),
      types('and after\x1b', /^hello from before\nand after/),
      types(':set lines? columns?\n', /lines=33[^]*columns=101/),
      types(':wq\n'),
      async () => {
        const text = (): string => (existsSync(`${folder}/notes`) ? readFileSync(`${folder}/notes`, 'utf8') : '')
        await until('it is written', () => text() === 'hello from before\nand after\n' || undefined, 5000)
      },
    ],
  },
  {
    name: 'less',
    file: '/usr/bin/less',
    command: `less ${folder}/text`,
    before: [types('50g', 'line 50 of')],
    // A change of the window drops the digits that less has read.
    after: [
      shows(/^line 50 of[^]*line 81 of/m),
      types('100g', /^line 100 of[^]*line 131 of/m),
      types('/line 250\n', /^line 250 of/m),
      types('q'),
    ],
  },
  {
    name: 'nano with an unsaved buffer',
    file: '/usr/bin/nano',
    command: `nano -I ${folder}/letter`,
    before: [shows('GNU nano'), types('dear reader', 'dear reader')],
    after: [
      shows('dear reader'),
      types(', hello', 'dear reader, hello'),
      types('\x0f'),
      types('\r', 'Wrote 1 line'),
      types('\x18'),
    ],
  },
  {
    name: 'htop',
    file: '/usr/bin/htop',
    command: 'htop',
    before: [shows('Load average')],
    after: [shows(/Load average[^]*F10/), types('q')],
  },
  {
    name: 'the Python REPL',
    file: '/usr/bin/python3',
    command: '/usr/bin/python3 -q',
    before: [
      types('numbers = [n * n for n in range(10)]\n'),
      types('print(sum(numbers))\n', /^285/m),
      types('half = 4', 'half = 4'),
    ],
    after: [
      types('2\n'),
      types('print(half, numbers[9])\n', /^42 81/m),
      types('while True: pass\n'),
      types('\n'),
      types('\x03', 'KeyboardInterrupt'),
      types('exit()\n'),
    ],
  },
  {
    name: 'script, with a shell on its own pty',
    file: '/usr/bin/script',
    command: `script -q -c "sh -i" ${folder}/typescript`,
    before: [types('word=kept; PS1="in: "\n', 'in: ')],
    after: [types('echo $word; stty size\n', /^kept\n/m), types('exit\n')],
  },
]

/** What a dump says of kinds of files that are not carried over yet. */
const refusals = (log: string): string[] => [
  ...new Set(
    log
      .split('\n')
      .filter(line => /not supported|cannot dump/.test(line))
      .map(line => line.replace(/^.*?Error [^:]*:\d+\): |^.*?Error \([^)]*\): /, '')),
  ),
]

for (const { name, file, command, before, after, own } of programs)
  test(
    name,
    async () => {
      if (!existsSync(file)) return console.log(`skipped: ${file} is not installed`)
      const images = mkdtempSync(`${folder}/images-`)
      using old = new Shell(24, 80)
      using now = new Shell(33, 101)
      await Promise.all([old.shows('$ '), now.shows('$ ')])
      old.type(`${command}\n`)
      const pid = await old.job()
      for (const step of before) await step(old)
      const dumped = Bun.spawnSync([program, 'dump', '-j', '-D', images, '-o', 'dump.log', '-v4', '-t', String(pid)])
      if (dumped.exitCode !== 0) {
        const log = readFileSync(`${images}/dump.log`, 'utf8')
        const reasons = refusals(log)
        // What is refused by name is told; all else is wrong.
        expect(reasons.length, log.split('\n').slice(-20).join('\n')).toBeGreaterThan(0)
        return console.log(`skipped: ${name}: ${reasons.join('; ')}`)
      }
      // As the image has them: /proc may miss some while the tree runs.
      await areGone(readdirSync(images).flatMap(file => Number(/^core-(\d+)\.img$/.exec(file)?.[1]) || []))
      using _tree = { [Symbol.dispose]: () => killTree(pid) }
      now.type(
        `clear; XDG_RUNTIME_DIR=${images} ${program} restore ${own ? '--tty new' : '-j'} -D ${images} -o restore.log -v4; echo "ended $?"\n`,
      )
      await until(
        'it runs',
        () => {
          const log = existsSync(`${images}/restore.log`) ? readFileSync(`${images}/restore.log`, 'utf8') : ''
          if (log.includes('Error'))
            throw new Error(
              log
                .split('\n')
                .filter(line => line.includes('Error'))
                .join('\n'),
            )
          return stateOf(pid) === 'S' || undefined
        },
        10_000,
      )
      for (const step of after) await step(now)
      await now.shows('ended 0')
      // The window is as it was.
      now.type('clear; stty -a | grep -o "[-]*icanon"; stty size\n')
      await now.shows(/^icanon\n33 101/m)
    },
    limit_ms,
  )
