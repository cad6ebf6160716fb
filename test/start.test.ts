// The executable's variables are set before its runtime starts: tools/start.ts, tried on a small program in C.
import { afterAll, expect, test } from 'bun:test'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setStart } from '../tools/start.ts'
import { RUNTIME_OPTIONS, WITHOUT_DIRECTORY } from '../tools/runtime-options.ts'

const directory = mkdtempSync('/tmp/bardo-environment-')
afterAll(() => rmSync(directory, { recursive: true, force: true }))

const PROGRAM = `
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
static void last(void) {
  char name[4096];
  printf("in %s\\n", getcwd(name, sizeof(name)));
}
int main(int argc, char **argv) {
  if (argc == 1) setenv("OWN", "1", 1);
  atexit(last);
  printf("%s %s %s %d %s\\n", getenv("FIRST"), getenv("SECOND"), getenv("OWN"), argc, argv[argc - 1]);
  return 3;
}
`

function compiled(name: string, ...flags: string[]): string {
  const path = join(directory, name)
  writeFileSync(`${path}.c`, PROGRAM)
  const { exitCode, stderr } = Bun.spawnSync(['gcc', '-o', path, ...flags, `${path}.c`])
  expect(exitCode, stderr.toString()).toBe(0)
  return path
}

function said(path: string, env: Record<string, string>): string {
  const { stdout, exitCode, signalCode } = Bun.spawnSync([path, 'word'], { env })
  expect([exitCode, signalCode]).toEqual([3, undefined as never])
  return stdout.toString()
}

for (const binding of ['lazy', 'now'])
  test(`variables are set, and those of the user stay, with symbols bound ${binding}`, () => {
    const path = compiled(`program-${binding}`, '-no-pie', `-Wl,-z,${binding}`, '-fplt')
    expect(said(path, {})).toBe(`(null) (null) (null) 2 word\nin ${process.cwd()}\n`)
    setStart(path, { variables: { FIRST: 'one', SECOND: '2 and more' }, directory: '/proc' })
    expect(said(path, {})).toBe(`one 2 and more (null) 2 word\nin ${process.cwd()}\n`)
    expect(said(path, { FIRST: 'mine' })).toBe(`mine 2 and more (null) 2 word\nin ${process.cwd()}\n`)
  })

test('a working directory that was deleted is left, and no other', () => {
  const path = compiled('directory', '-no-pie')
  setStart(path, { variables: {}, directory: '/proc' })
  const deleted = join(directory, 'deleted')
  const run = [
    'sh',
    '-c',
    `mkdir ${deleted}; cd ${deleted}; "$0" word; rmdir ${deleted}; "$0" word; cd /usr; "$0" word`,
    path,
  ]
  const { stdout } = Bun.spawnSync(run, { env: { OWN: 'x' } })
  expect(stdout.toString().match(/(?<=in ).*/g)).toEqual([deleted, '/proc', '/usr'])
})

test('from source, too, it runs where the directory was deleted', () => {
  const deleted = join(directory, 'deleted-source')
  const bardo = join(import.meta.dir, '../bardo')
  const { stdout } = Bun.spawnSync([
    'sh',
    '-c',
    `mkdir ${deleted}; cd ${deleted}; rmdir ${deleted}; ${bardo} --version`,
  ])
  expect(stdout.toString()).toStartWith('Version: ')
})

test('an executable of another form is refused, and stays as it is', () => {
  const path = compiled('movable', '-pie', '-fPIE')
  const before = readFileSync(path)
  expect(() => setStart(path, { variables: { FIRST: 'one' }, directory: '/' })).toThrow('fixed address')
  expect(readFileSync(path).equals(before)).toBe(true)
})

test('what runs from source has the same options as the executable', () => {
  const script = readFileSync(join(import.meta.dir, '../bardo'), 'utf8')
  const set = [...script.matchAll(/(BUN_JSC_\w+)="\$\{\1-(\w+)\}"/g)].map(([, name, value]) => [name, value])
  expect(Object.fromEntries(set)).toEqual(RUNTIME_OPTIONS)
  expect(script).toContain(`|| cd ${WITHOUT_DIRECTORY} ||`)
})
