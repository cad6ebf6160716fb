// Terminals from outside in one tree with others: a shell's own, several that are named, pairs of the tree; and what is
// said when one is missing or was named by a slip.
import { expect, test } from 'bun:test'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { run as runCommand, program, Run, until } from './harness.ts'
import { Shell } from './shell.ts'
import { Terminal } from './terminal.ts'
import { workloads } from './workload-list.ts'

const limit_ms = 90_000
const workload = workloads.find(one => one.name === 'tty-mixed')!
const external = (terminal: Terminal): string[] => ['--external', `tty[${terminal.key}]`]
const hears = (terminal: Terminal, text: string): Promise<true> =>
  until(`the terminal hears ${text}`, () => (terminal.heard().includes(text) ? true : undefined), 3000)

test(
  'a job keeps its own terminal, /dev/tty and pairs, and two terminals outside go where they are told',
  async () => {
    using old = new Shell(24, 80)
    using now = new Shell(40, 111)
    using one = new Terminal()
    using two = new Terminal()
    using other = new Terminal()
    await using run = new Run(workload)
    await run.startIn(old, one.path, two.path)
    const images = await run.dump({ more: ['-j', ...external(one), ...external(two)] })
    // Descriptor 0 is the window itself: it stands for one of the two beside being the job's own.
    await run.restoreIn(
      now,
      images,
      `-j --inherit-fd 'fd[0]:tty[${one.key}]' --inherit-fd 'fd[9]:tty[${two.key}]' 9<>${other.path}`,
    )
    await run.finish()
    await now.shows(/<first 0><second 0>[^]*<job><again><out>/)
    await hears(other, '<first 1><second 1>')
    expect(one.heard() + two.heard()).toBe('')
    expect(old.terminal.heard()).not.toContain('<')
  },
  limit_ms,
)

test(
  'a hundred terminals outside',
  async () => {
    const terminals = Array.from({ length: 100 }, () => new Terminal())
    using stack = new DisposableStack()
    for (const terminal of terminals) stack.use(terminal)
    await using run = new Run(workload)
    await run.start(...terminals.map(({ path }) => path))
    const images = await run.dump({ more: terminals.flatMap(external) })
    // Each comes back on the next one; a shell opens them, as the runtime gives its children no more than three.
    const moved = terminals.map(({ key }, i) => ({ key, fd: 20 + i, path: terminals[(i + 1) % 100]!.path }))
    const words = moved.map(({ key, fd, path }) => `--inherit-fd 'fd[${fd}]:tty[${key}]' ${fd}<>${path}`)
    writeFileSync(run.path('restore.sh'), `exec ${program} restore -d -D ${images} -o restore.log ${words.join(' ')}\n`)
    const { exitCode, output } = await runCommand(['bash', run.path('restore.sh')])
    expect(exitCode, output).toBe(0)
    await run.finish()
    for (const [i, terminal] of terminals.entries()) await hears(terminal, `<first ${(i + 99) % 100}>`)
  },
  limit_ms,
)

test(
  'each terminal that is missing, or given for none, is one error with the option to add',
  async () => {
    using one = new Terminal()
    using two = new Terminal()
    await using run = new Run(workload)
    await run.start(one.path, two.path)
    const images = await run.dump({ more: [...external(one), ...external(two), '--external', 'tty[88ff:ff]'] })
    const told = async (...more: string[]): Promise<string[]> => {
      const words = ['restore', '-d', '-D', images, '-v4', '-o', 'told.log', ...more]
      const { exitCode, output } = await runCommand([program, ...words])
      expect(exitCode, output).toBe(1)
      const log = readFileSync(join(images, 'told.log'), 'utf8')
      return log.split('\n').filter(line => /Error/.test(line) && /tty\[/.test(line))
    }
    const missing = (terminal: Terminal): RegExp =>
      new RegExp(
        `no terminal is given for tty\\[${terminal.key}\\].*where: pid .*, fd \\d+ .*do: .*--inherit-fd 'fd\\[1\\]:tty\\[${terminal.key}\\]'`,
      )
    const both = await told()
    expect(both).toHaveLength(2)
    expect(both[0]).toMatch(missing(one))
    expect(both[1]).toMatch(missing(two))
    // Two files of one terminal are one error.
    expect(both[0]!.match(/where:/g)).toHaveLength(1)
    const slip = await told('--inherit-fd', 'fd[0]:tty[88FF:1]', '--inherit-fd', `fd[1]:tty[${one.key}]`)
    expect(slip.some(line => missing(two).test(line))).toBe(true)
    expect(slip.find(line => line.includes('does not have'))).toMatch(
      new RegExp(
        `'fd\\[0\\]:tty\\[88ff:1\\]' is for a terminal that the image does not have.*do: --inherit-fd 'fd\\[0\\]:tty\\[${two.key}\\]'$`,
      ),
    )
    // A slip in the dump is no error, as with CRIU, and does not go without a word.
    const log = readFileSync(join(images, 'dump.log'), 'utf8')
    expect(log).toMatch(/Warn .*--external 'tty\[88ff:ff\]': no process of the tree has this terminal open/)
    await run.restore(images, {
      more: [one, two].flatMap((terminal, i) => ['--inherit-fd', `fd[${i}]:tty[${terminal.key}]`]),
      terminal: one.slave,
    })
    await run.finish()
  },
  limit_ms,
)
