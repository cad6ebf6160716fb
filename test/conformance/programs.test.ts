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
  /** A kind of file that it has and that is not carried over yet: it is refused by this name, and by nothing else. */
  readonly lacks?: RegExp
  /** Put on a terminal of its own by `--tty new`, not as the window's job. */
  readonly own?: true
}

const lines = Array.from({ length: 300 }, (_, i) => `line ${i + 1} of the text`).join('\n')
writeFileSync(`${folder}/text`, `${lines}\n`)

/** ^Z gives the window back to its shell, and `fg` to the program. */
const stopsAndGoesOn = (then: string | RegExp): readonly Step[] => [
  types('\x1a', /Stopped/),
  types('stty -a | grep -o "[-]*icanon"\n', /^icanon/m),
  types('fg\n', then),
]

const file = (name: string): string => `${folder}/${name}`
const contents = (name: string): string => (existsSync(file(name)) ? readFileSync(file(name), 'utf8') : '')
const isWritten =
  (name: string, text: string): Step =>
  () =>
    until(`${name} is written`, () => contents(name) === text || undefined, 5000)

const session = `bardo-${process.pid}`

/** What is done in another window, which shows the screen of `session`. */
const inScreen =
  (...steps: readonly Step[]): Step =>
  async () => {
    using other = new Shell(25, 90)
    await other.shows('$ ')
    other.type(`screen -r ${session}\n`)
    await other.isShowing()
    for (const step of steps) await step(other)
  }

const programs: readonly Program[] = [
  {
    name: 'cat',
    file: '/usr/bin/cat',
    command: 'cat',
    before: [types('one\n', /one\none/)],
    after: [types('two\n', /two\ntwo/), ...stopsAndGoesOn(/fg\n/), types('three\n', /three\nthree/), types('\x03')],
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
      // Half a line: readline has it.
      types('echo "begun-', /begun-$/m),
    ],
    after: [
      types('ended"\n', /^begun-ended/m),
      types('clear; echo $secret; double 300; stty size\n', /^42\n600\n33 101/m),
      types('clear; jobs\n', /Stopped[^]*Running|Running[^]*Stopped/),
      types('fg\n', /^back/m),
      types('\x03', /\^C\s+inner>/),
      types('kill %1; wait\n', /Terminated/),
      // A ^C before the job has the terminal would be the shell's.
      types("clear; sh -c 'echo up; exec sleep 1000'\n", /^up/m),
      types('\x1a', /Stopped/),
      types('fg\n', /^sh -c/m),
      types('\x03', /\^C\s+inner>/),
      types('exit\n'),
    ],
  },
  {
    name: "bash as the window's own job, which has jobs itself",
    file: '/usr/bin/bash',
    command: 'bash --norc --noprofile -i',
    before: [
      types('PS1="inner> "; secret=kept\n', 'inner> '),
      types('sh -c \'trap "echo back" CONT; echo going; while :; do sleep 0.2; done\'\n', /^going/m),
      types('\x1a', /Stopped/),
    ],
    after: [
      types('clear; echo $secret; stty size\n', /^kept\n33 101/m),
      types('fg\n', /^back/m),
      types('\x1a', /Stopped/),
      // The outer shell has the window, and then the inner one.
      types('clear; suspend\n', /Stopped[^]*\n\$ $/m),
      types('clear; echo outer\n', /^outer/m),
      types('fg\n', /bardo restore/),
      types('\n', /inner> /),
      types('clear; fg\n', /^back/m),
      types('\x03', /\^C\s+inner>/),
      types('exit\n'),
    ],
  },
  {
    name: 'vim with an unsaved buffer',
    file: '/usr/bin/vim',
    command: `vim -u NONE -n ${file('notes')}`,
    before: [shows(/^~/m), types('ihello from before', 'hello from before'), types('\x1bo')],
    after: [
      // Drawn again over the whole of the new window: the last line is the new one's.
      shows(/^hello from before\n/),
      types('and after\x1b', /^hello from before\nand after/),
      types(':set lines? columns?\n', /lines=33[^]*columns=101/),
      types('\n'),
      ...stopsAndGoesOn(/^hello from before\nand after\n~/),
      // ^C ends what is being typed; undone, it was never there.
      types('Anever\x03u', /^hello from before\nand after\n/),
      types(':wq\n'),
      isWritten('notes', 'hello from before\nand after\n'),
    ],
  },
  {
    name: 'less',
    file: '/usr/bin/less',
    command: `less ${file('text')}`,
    before: [types('50g', 'line 50 of')],
    // A change of the window drops the digits that less has read.
    after: [
      shows(/^line 50 of[^]*line 81 of/m),
      types('100g', /^line 100 of[^]*line 131 of/m),
      types('/line 250\n', /^line 250 of/m),
      ...stopsAndGoesOn(/^line 250 of[^]*line 281 of/m),
      // It waits for more of the file, until it is interrupted.
      types('F', /Waiting for data/),
      types('\x03', /^line 300 of[^]*\n\(END\)$/m),
      types('1g', /^line 1 of/),
      types('q'),
    ],
  },
  {
    name: 'nano with an unsaved buffer',
    file: '/usr/bin/nano',
    command: `nano -I ${file('letter')}`,
    before: [shows('GNU nano'), types('dear reader', 'dear reader')],
    after: [
      shows(/GNU nano[^]*\ndear reader/),
      types(', hello', 'dear reader, hello'),
      // The key is nano's own: where the cursor is.
      types('\x03', 'col 19/19'),
      types('\x14\x1a', /Stopped/),
      types('fg\n', /GNU nano[^]*\ndear reader, hello/),
      types('\x0f'),
      types('\r', 'Wrote 1 line'),
      types('\x18'),
      isWritten('letter', 'dear reader, hello\n'),
    ],
  },
  {
    name: 'htop',
    file: '/usr/bin/htop',
    command: 'htop',
    before: [shows('Load average'), types('\x1bOS', 'Filter: '), types('no-such', 'no-such')],
    after: [
      // The line with the keys is the last of the new window, and what was begun to be looked for is there.
      shows(/Load average[^]*no-such$/m),
      types('-name', 'no-such-name'),
      types('\x1b', /F10Quit/),
      types('\x1a', /Stopped/),
      types('fg\n', /Load average[^]*F10/),
      types('\x03'),
    ],
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
      types('import os; os.get_terminal_size()\n', /columns=101, lines=33/),
      types('import time; print("bu" + "sy"); time.sleep(1000)\n', /^busy/m),
      types('\x03', 'KeyboardInterrupt'),
      ...stopsAndGoesOn(/bardo restore/),
      types('\nhalf + 1\n', /^43/m),
      types('exit()\n'),
    ],
  },
  {
    name: 'script, with a shell on its own pty',
    file: '/usr/bin/script',
    command: `script -q -c "bash --norc --noprofile -i" ${file('typescript')}`,
    before: [
      types('word=kept; PS1="in: "\n', 'in: '),
      // Typed ahead, and read by nobody before the dump: a whole line, and half of one.
      types(`until [ -e ${file('go')} ]; do sleep 0.05; done\n`, /done\n/),
      types('echo $word-ahead\nec', /-ahead\nec$/m),
    ],
    after: [
      () => Promise.resolve(writeFileSync(file('go'), '')),
      shows(/^kept-ahead/m),
      types('ho whole; stty size\n', /^whole\n33 101/m),
      types("sh -c 'echo up; exec sleep 1000'\n", /^up/m),
      types('\x1a', /Stopped/),
      types('fg\n', /^sh -c/m),
      types('\x03', /\^C\s+in:/),
      types('exit\n'),
    ],
  },
  {
    name: 'screen, with a shell on its own pty',
    file: '/usr/bin/screen',
    command: `screen -D -m -S ${session} bash --norc --noprofile -i`,
    // Its socket in /run/screen, by which it is shown.
    lacks: /a listening unix socket is not supported/,
    before: [inScreen(types('word=kept\n'), types('echo $word-before\n', /^kept-before/m), types('\x01d', 'detached'))],
    after: [inScreen(types('clear; echo $word; stty size\n', /^kept\n25 90/m), types('exit\n', 'terminating'))],
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

for (const { name, file, command, before, after, own, lacks } of programs)
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
        expect(lacks, log.split('\n').slice(-20).join('\n')).toBeDefined()
        expect(reasons.filter(reason => !lacks!.test(reason))).toEqual([])
        // Killed, screen would leave its socket.
        Bun.spawnSync(['screen', '-S', session, '-X', 'quit'])
        await areGone([pid])
        return console.log(`not restored: ${name}: ${reasons.join('; ')}`)
      }
      expect(lacks, 'it can be dumped now').toBeUndefined()
      // As the image has them: /proc may miss some while the tree runs.
      await areGone(readdirSync(images).flatMap(file => Number(/^core-(\d+)\.img$/.exec(file)?.[1]) || []))
      using _tree = { [Symbol.dispose]: () => killTree(pid) }
      now.type(
        `clear; XDG_RUNTIME_DIR=${images} ${program} restore ${own ? '--tty new' : '-j'} -D ${images} -o restore.log -v4\n`,
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
      await now.isAlone()
      // The window is as it was.
      now.type('clear; echo "ended $?"; stty -a | grep -o "[-]*icanon"; stty size\n')
      await now.shows(/^ended 0\nicanon\n33 101/m)
    },
    limit_ms,
  )
