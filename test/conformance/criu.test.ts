// Terminals both ways with CRIU: what it dumps is restored here, and what is dumped here it restores, where it can hold
// what is in them. BARDO_CRIU names it, or it is in the PATH; without it nothing is tried.
import { expect, test } from 'bun:test'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { program, Run, until } from './harness.ts'
import { areGone, killTree, Shell } from './shell.ts'
import { Terminal } from './terminal.ts'
import { workloads, type Workload } from './workload-list.ts'

const limit_ms = 60_000
const criu = process.env['BARDO_CRIU'] ?? Bun.which('criu')
const named = (name: string): Workload => workloads.find(one => one.name === name)!

const ways =
  criu === null
    ? []
    : [
        { name: 'CRIU dumps, Bardo restores', dump: criu, restore: program },
        { name: 'Bardo dumps, CRIU restores', dump: program, restore: criu },
      ]
if (criu === null) {
  console.log('skipped: no criu is found, name one in BARDO_CRIU')
  test.skip('terminals both ways with CRIU', () => undefined)
}

for (const { name, dump, restore } of ways) {
  test(
    `pairs, their settings and what is queued in them: ${name}`,
    async () => {
      await using run = new Run(named('tty-plain'), { dump, restore })
      await run.start()
      await run.restore(await run.dump())
      await run.finish()
    },
    limit_ms,
  )

  test(
    `a terminal outside: ${name}`,
    async () => {
      using before = new Terminal(30, 100)
      using after = new Terminal(50, 132)
      await using run = new Run(named('tty-external'), { dump, restore })
      await run.start(before.path)
      const images = await run.dump({ more: ['--external', `tty[${before.key}]`] })
      await run.restore(images, { more: ['--inherit-fd', `fd[1]:tty[${before.key}]`], terminal: after.slave })
      after.say('yes')
      await run.finish()
      await until('the end is on the new terminal', () => after.heard().endsWith('end\r\n') || undefined, 2000)
    },
    limit_ms,
  )

  test(
    `a job of a shell: ${name}`,
    async () => {
      const images = mkdtempSync('/tmp/bardo-criu-job-')
      using old = new Shell(24, 80)
      using now = new Shell(33, 101)
      let pid = 0
      try {
        await Promise.all([old.shows('$ '), now.shows('$ ')])
        old.type('sh -c \'while read line; do echo "<$line>"; done\'\n')
        old.type('one\n')
        await old.shows('<one>')
        pid = await old.job()
        const dumped = Bun.spawnSync([dump, 'dump', '-j', '-D', images, '-o', 'dump.log', '-v4', '-t', String(pid)])
        expect(dumped.exitCode, readFileSync(`${images}/dump.log`, 'utf8').split('\n').slice(-9).join('\n')).toBe(0)
        await areGone([pid])
        now.type(`clear; ${restore} restore -j -D ${images} -o restore.log -v4; echo "ended $?"\n`)
        now.type('two\n')
        await now.shows('<two>')
        now.type('\x04')
        await now.shows('ended 0')
      } finally {
        if (pid !== 0) killTree(pid)
        rmSync(images, { recursive: true, force: true })
      }
    },
    limit_ms,
  )
}
