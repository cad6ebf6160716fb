// Ptys whose master is outside, such as a container's console (--orphan-pts-master): a fresh one takes their place, and its
// master is handed out on a connected socket that the restore inherits, on a listening one, or is kept.
import { expect, test } from 'bun:test'
import { existsSync, mkdtempSync, readdirSync, rmdirSync, rmSync, writeFileSync } from 'node:fs'
import { program, Run, run as runCommand, until } from './harness.ts'
import { killTree, Shell } from './shell.ts'
import { Terminal } from './terminal.ts'
import { workloads } from './workload-list.ts'

const limit_ms = 60_000
const workload = workloads.find(one => one.name === 'tty-external')!

/** Restores with one end of a socket pair as descriptor 7, takes what comes on the other, and is the terminal. */
const TAKER = `
import os, socket, subprocess, sys, fcntl, termios, struct
ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
os.dup2(theirs.fileno(), 7)
theirs.close()
status = subprocess.run(sys.argv[1:], pass_fds=[7], stdin=subprocess.DEVNULL).returncode
os.close(7)
_, fds, _, _ = socket.recv_fds(ours, 16, 4)
print("status", status, "masters", len(fds), flush=True)
if fds:
  size = struct.unpack("HHHH", fcntl.ioctl(fds[0], termios.TIOCGWINSZ, bytes(8)))
  print("size", size[0], size[1], "locked", struct.unpack("i", fcntl.ioctl(fds[0], 0x80045439, bytes(4)))[0], flush=True)
  sys.stdin.readline()
  os.write(fds[0], b"yes")
  while 1:
    try: data = os.read(fds[0], 4096)
    except OSError: break
    sys.stdout.write(data.decode()); sys.stdout.flush()
print("hung up", flush=True)
`

test(
  'the master is sent over a socket that the restore inherits',
  async () => {
    using old = new Terminal(31, 99)
    await using run = new Run(workload)
    await run.start(old.path)
    const images = await run.dump({ more: ['--orphan-pts-master'] })
    const words = ['restore', '-d', '--orphan-pts-master=fd:7', '-D', images, '-o', 'restore.log', '-v4']
    const taker = Bun.spawn(['python3', '-c', TAKER, program, ...words], { stdin: 'pipe', stdout: 'pipe' })
    let said = ''
    const hear = (async (): Promise<void> => {
      const decoder = new TextDecoder()
      for await (const chunk of taker.stdout) said += decoder.decode(chunk)
    })()
    await until('the master has come', () => said.includes('locked') || undefined)
    expect(said).toBe('status 0 masters 1\nsize 31 99 locked 0\n')
    run.remember()
    await taker.stdin.write('go\n')
    await taker.stdin.end()
    await run.finish()
    await hear
    expect(said).toEndWith('after\r\nend\r\nhung up\n')
    expect(old.heard()).toBe('before\r\n')
  },
  limit_ms,
)

test(
  'without a socket the master is kept, and shown by attach; no terminal is needed for that',
  async () => {
    using old = new Terminal()
    using now = new Shell(35, 95)
    await using run = new Run(workload)
    await run.start(old.path)
    const images = await run.dump({ more: ['--orphan-pts-master'] })
    const words = ['restore', '-d', '--orphan-pts-master', '-D', images, '-o', 'restore.log', '-v4']
    const { exitCode, output } = await runCommand([program, ...words], { env: { XDG_RUNTIME_DIR: run.folder } })
    expect(exitCode, output).toBe(0)
    using _tree = { [Symbol.dispose]: () => killTree(run.pid) }
    now.type(`XDG_RUNTIME_DIR=${run.folder} ${program} attach\n`)
    now.type('yes')
    await run.finish()
    // What it printed before it was shown is thrown away; this it prints when it has read what was typed here.
    await now.shows(/end$/m)
  },
  limit_ms,
)

test(
  'who takes the master is looked for before anything is restored',
  async () => {
    using old = new Terminal()
    await using run = new Run(workload)
    await run.start(old.path)
    const images = await run.dump({ more: ['--orphan-pts-master'] })
    for (const [to, text] of [
      [`${run.folder}/nobody`, /cannot connect to the socket/],
      ['fd:0', /descriptor 0 is no connected unix socket/],
      ['fd:77', /descriptor 77 is no connected unix socket/],
    ] as const) {
      const words = ['restore', '-d', `--orphan-pts-master=${to}`, '-D', images, '-v4', '-o', '-']
      const { exitCode, output } = await runCommand([program, ...words])
      expect(exitCode).toBe(1)
      expect(output).toMatch(text)
      expect(existsSync(`/proc/${run.pid}`)).toBe(false)
    }
    // Refused without the option on the dump's side, with its name.
    await run.restore(images, { more: ['--inherit-fd', `fd[1]:tty[${old.key}]`], terminal: old.slave })
    const { exitCode, log } = await run.attempt('dump')
    expect(exitCode).toBe(1)
    expect(log).toMatch(/the other end of this terminal is outside the tree.*do: .*--external 'tty\[/)
    old.say('yes')
    await run.finish()
  },
  limit_ms,
)

test(
  'a tree without such a pty hands nothing out, and keeps nothing: runtimes always ask for it',
  async () => {
    await using run = new Run(workloads.find(one => one.name === 'pipes')!)
    await run.start()
    const images = await run.dump({ more: ['--orphan-pts-master'] })
    const words = ['restore', '-d', '--orphan-pts-master=fd:7', '-D', images, '-o', 'restore.log', '-v4']
    const { output } = await runCommand(['python3', '-c', TAKER, program, ...words])
    expect(output).toBe('status 0 masters 0\nhung up\n')
    run.remember()
    const again = await run.dump({ more: ['--orphan-pts-master'] })
    const plain = ['restore', '-d', '--orphan-pts-master', '-D', again, '-o', 'restore.log', '-v4']
    const ended = await runCommand([program, ...plain], { env: { XDG_RUNTIME_DIR: run.folder } })
    expect(ended.exitCode, ended.output).toBe(0)
    expect(existsSync(`${run.folder}/bardo`) ? readdirSync(`${run.folder}/bardo`) : []).toEqual([])
    run.remember()
    await run.finish()
  },
  limit_ms,
)

test(
  'a console that is a pty bound to another name',
  async () => {
    using old = new Terminal()
    const folder = mkdtempSync('/tmp/bardo-console-')
    const console_ = `${folder}/console`
    writeFileSync(console_, '')
    if (Bun.spawnSync(['mount', '--bind', old.path, console_]).exitCode !== 0) {
      rmSync(folder, { recursive: true })
      return console.log('skipped: no right to mount')
    }
    try {
      await using run = new Run(workload)
      await run.start(console_)
      const images = await run.dump({ more: ['--orphan-pts-master'] })
      const words = ['restore', '-d', '--orphan-pts-master=fd:7', '-D', images, '-o', 'restore.log', '-v4']
      const taker = Bun.spawn(['python3', '-c', TAKER, program, ...words], { stdin: 'pipe', stdout: 'pipe' })
      await taker.stdin.write('go\n')
      await taker.stdin.end()
      await until('the root is there', () => existsSync(`/proc/${run.pid}`) || undefined)
      run.remember()
      await run.finish()
      expect(await taker.stdout.text()).toEndWith('after\r\nend\r\nhung up\n')
    } finally {
      Bun.spawnSync(['umount', '-l', console_])
      rmSync(console_)
      rmdirSync(folder)
    }
  },
  limit_ms,
)
