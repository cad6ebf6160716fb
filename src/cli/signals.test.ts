import { expect, test } from 'bun:test'
import { fileURLToPath } from 'node:url'

const child = `
import { interrupted } from '${fileURLToPath(new URL('../base/interrupt.ts', import.meta.url))}'
import { noteSignals } from '${fileURLToPath(new URL('./signals.ts', import.meta.url))}'
import { sys } from '${fileURLToPath(new URL('../linux/sys.ts', import.meta.url))}'
noteSignals()
const before = interrupted()
// Blocked, as an engine that waits is: the call must end with EINTR, and the question be answered without the event loop.
setTimeout(() => console.log('the event loop ran'), 0)
process.send('ready')
const pause = sys('pause')
console.log(before, pause, interrupted())
sys('exit_group', 7)
`

test('a signal is noted while the main line is blocked', async () => {
  const process = Bun.spawn([globalThis.process.execPath, '-e', child], {
    stdout: 'pipe',
    stderr: 'inherit',
    ipc: () => void setTimeout(() => process.kill('SIGTERM'), 50),
  })
  expect(await process.exited).toBe(7)
  expect(await new Response(process.stdout).text()).toBe('0 -4 15\n')
})
