import { afterAll, describe, expect, test } from 'bun:test'
import { mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const bardo = join(import.meta.dir, '../../bardo')
const folder = mkdtempSync(join(tmpdir(), 'cli-'))
const criu = join(folder, 'criu')
symlinkSync(bardo, criu)
afterAll(() => rmSync(folder, { recursive: true }))

function run(program: string, ...args: string[]) {
  const { exitCode, stdout, stderr } = Bun.spawnSync([program, ...args], {
    cwd: folder,
    env: { PATH: '/usr/bin:/bin', HOME: folder },
  })
  return { exitCode, stdout: stdout.toString(), stderr: stderr.toString() }
}

describe('the program', () => {
  test('says the version that tools compare, by either name', () => {
    expect(run(bardo, '-V')).toEqual({ exitCode: 0, stdout: 'Version: 4.2\nBardo: 0.1.0\n', stderr: '' })
    expect(run(criu, '--version')).toEqual({ exitCode: 0, stdout: 'Version: 4.2\n', stderr: '' })
  })

  test('explains itself', () => {
    expect(run(bardo, '-h').exitCode).toBe(0)
    expect(run(criu, 'dump', '--help').stdout).toStartWith('Usage:\n  criu dump -t PID')
    expect(run(bardo)).toMatchObject({ exitCode: 1, stdout: '' })
  })

  test('ends with 1 for what it does not take', () => {
    expect(run(bardo, 'dump')).toMatchObject({ exitCode: 1, stdout: '', stderr: expect.stringContaining('add -t PID') })
    expect(run(bardo, 'pre-dump', '-t', '1').stderr).toStartWith('Error: the command pre-dump is not supported yet\n')
    expect(run(bardo, 'show').exitCode).toBe(1)
    expect(run(bardo, 'dump', '-t', '1', '-D', 'nowhere').stderr).toStartWith(
      'Error: cannot open the image directory nowhere (ENOENT',
    )
  })

  test('checks features by exit status', () => {
    expect(run(criu, 'check', '--no-default-config', '-verbosity=0', '--feature', 'mnt_id')).toEqual({
      exitCode: 0,
      stdout: 'mnt_id is supported\n',
      stderr: '',
    })
    expect(run(criu, 'check', '-v0', '--feature', 'nftables')).toEqual({ exitCode: 1, stdout: '', stderr: '' })
    expect(run(bardo, 'check', '--feature', 'uffd-noncop')).toMatchObject({
      exitCode: 1,
      stderr: expect.stringContaining('did you mean uffd-noncoop?'),
    })
  })

  test('writes its log in the work directory, in place', () => {
    const result = run(bardo, 'check', '--feature', 'nftables', '-o', 'check.log', '-v4')
    expect(result).toEqual({ exitCode: 1, stdout: '', stderr: '' })
    const lines = readFileSync(join(folder, 'check.log'), 'utf8').trimEnd().split('\n')
    expect(lines[0]).toMatch(/^\(\d\d\.\d{6}\) Version: 4\.2 \(gitid bardo-/)
    expect(lines[1]).toMatch(/^\(\d\d\.\d{6}\) Running on \S+ Linux /)
    expect(lines[2]).toMatch(/^\(\d\d\.\d{6}\) Warn {2}\(check\): nftables is not supported/)
  })
})
