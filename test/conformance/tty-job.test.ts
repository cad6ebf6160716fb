// A job of a shell moves to another shell's terminal (--shell-job): half a line typed there, the rest here; it is in the
// foreground, ^C reaches it, and the shell goes on when it has ended.
import { expect, test } from 'bun:test'
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { program, until } from './harness.ts'
import { Terminal } from './terminal.ts'

const limit_ms = 60_000
const environment = { PATH: '/usr/bin:/bin', LANG: 'C', PS1: '$ ', TERM: 'dumb' }

/** An interactive shell whose controlling terminal this is. */
class Shell {
  readonly terminal: Terminal
  readonly #child: Bun.Subprocess

  constructor(rows: number, columns: number) {
    this.terminal = new Terminal(rows, columns)
    const fd = openSync(this.terminal.path, 'r+')
    this.#child = Bun.spawn(['setsid', '-c', 'bash', '--norc', '--noprofile', '-i'], {
      stdin: fd,
      stdout: fd,
      stderr: fd,
      env: environment,
    })
    closeSync(fd)
  }

  /** Types, and waits until the screen has `answer` behind what it had. */
  async say(text: string, answer: string): Promise<string> {
    const before = this.terminal.heard().length
    this.terminal.say(text)
    return until(
      `the terminal says ${JSON.stringify(answer)} to ${JSON.stringify(text)}`,
      () => {
        const heard = this.terminal.heard().slice(before)
        return heard.includes(answer) ? heard : undefined
      },
      10_000,
    )
  }

  /** The pid of its only child, when there is one. */
  async job(): Promise<number> {
    const { pid } = this.#child
    return until(
      'the shell has a job',
      () => Number(readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim()) || undefined,
      5000,
    )
  }

  /** Waits until its only child is `program`; the one before may not have been waited for yet. */
  async runs(program: string): Promise<void> {
    const { pid } = this.#child
    await until(
      `the shell runs ${program}`,
      () => {
        const job = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim()
        try {
          return readFileSync(`/proc/${job}/comm`, 'utf8') === `${program}\n` || undefined
        } catch {
          return undefined
        }
      },
      5000,
    )
  }

  [Symbol.dispose](): void {
    this.#child.kill('SIGKILL')
    this.terminal[Symbol.dispose]()
  }
}

test(
  "a shell's job moves to the terminal of another shell",
  async () => {
    const images = mkdtempSync('/tmp/bardo-tty-job-')
    using old = new Shell(24, 80)
    using now = new Shell(50, 132)
    try {
      await old.say('echo ready\n', 'ready\r\n')
      await now.say('echo ready\n', 'ready\r\n')
      const job = `trap 'echo caught' INT; while :; do if read line; then echo "<$line>"; fi; [ "$line" = end ] && exit 7; done`
      await old.say(`sh -c '${job.replaceAll("'", `'\\''`)}'\n`, 'exit 7')
      await old.say('one\n', '<one>')
      await old.say('half a ', 'half a ')
      const pid = await old.job()
      const dumped = Bun.spawnSync([program, 'dump', '-j', '-D', images, '-o', 'dump.log', '-v4', '-t', String(pid)])
      expect(dumped.exitCode, dumped.stderr.toString()).toBe(0)
      await until('the old shell goes on', () => old.terminal.heard().includes('Killed') || undefined, 5000)
      const restore = `${program} restore -j -D ${images} -o restore.log -v4; echo "ended $?"`
      now.terminal.say(`${restore}\n`)
      await until(
        'the job runs',
        () => {
          try {
            return readFileSync(`/proc/${pid}/stat`, 'utf8').includes(' S ') || undefined
          } catch {
            return undefined
          }
        },
        10_000,
      )
      // What was typed there stays there: the kernel holds it for a terminal that is not dumped.
      expect(await now.say('two\n', '<two>\r\n')).toBe('two\r\n<two>\r\n')
      expect(await now.say('\x03', 'caught')).toContain('^C')
      await now.say('end\n', 'ended ')
      expect(await now.say('stty size\n', '132')).toContain('50 132')
      expect(await now.say('sleep 100\n', '\n')).toContain('sleep 100')
      // Before it runs, bash has the terminal still, and ^C would be bash's.
      await now.runs('sleep')
      await now.say('\x03', '$ ')
      await now.say('echo alive\n', 'alive\r\n')
    } finally {
      rmSync(images, { recursive: true, force: true })
    }
  },
  limit_ms,
)
