// What an executable does before its runtime starts, tried on small programs in C: tools/start.ts, tools/freeze.ts.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { trySeize, waitFor } from '../src/tracee/ptrace.ts'
import { freeze, type Frozen } from '../tools/freeze.ts'
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

function compileInto(path: string, program: string, ...flags: string[]): void {
  writeFileSync(`${path}.c`, program)
  const { exitCode, stderr } = Bun.spawnSync(['gcc', '-o', path, ...flags, `${path}.c`])
  expect(exitCode, stderr.toString()).toBe(0)
}

function compiled(name: string, ...flags: string[]): string {
  const path = join(directory, name)
  compileInto(path, PROGRAM, ...flags)
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

// It counts, and stops in a system call of its own; then it says what it knows. What is written to it is in all kinds of memory.
const STOPPING = `
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
static int zeroed, data = 1;
static __thread int thread_local = 5;
static volatile sig_atomic_t depth;
static int deep(int left) {
  volatile int room[1024];
  room[0] = left;
  return left == 0 ? 0 : deep(left - 1) + room[0] - left + 1;
}
int main(int argc, char **argv) {
  if (argc > 1 && strcmp(argv[1], "freeze") == 0) {
    int local = 2;
    int *heap = malloc(sizeof(int)), *big = malloc(1 << 20);
    int *mapped = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    *heap = 3, big[1 << 17] = 4, thread_local = 6, data = 7, zeroed = 8, mapped[1 << 17] = 9;
    syscall(SYS_kill, getpid(), SIGSTOP);
    struct timespec now;
    char command[4096];
    FILE *own = fopen("/proc/self/cmdline", "r");
    size_t n = fread(command, 1, sizeof(command) - 1, own);
    command[n] = 0;
    free(malloc(1 << 22));
    printf("thawed %d %d %d %d %d %d %d, called with %s, %d deep, clock %d, chdir %d\\n", local, *heap, big[1 << 17], thread_local, data,
           zeroed, mapped[1 << 17], command + strlen(command) + 1, deep(1000), clock_gettime(CLOCK_MONOTONIC, &now),
           chdir("/nowhere"));
  } else {
    printf("cold %s\\n", argc > 1 ? argv[1] : "");
  }
  return 3;
}
`

describe('frozen memory', () => {
  const path = join(directory, 'frozen')
  const said = (...command: string[]): string => {
    const { stdout, exitCode, signalCode } = Bun.spawnSync(command, { env: { PATH: process.env['PATH']! } })
    expect([exitCode, signalCode]).toEqual([3, undefined as never])
    return stdout.toString().trim()
  }
  const thawed = 'thawed 2 3 4 6 7 8 9, called with word, 1000 deep, clock 0, chdir -1'
  let frozen: Frozen

  beforeAll(() => {
    compileInto(path, STOPPING, '-no-pie', '-Wl,-z,now')
    const fixed = ['setarch', 'x86_64', '--addr-no-randomize', '--addr-compat-layout']
    const { pid } = Bun.spawn(['sh', '-c', 'ulimit -S -s 8192; exec "$@"', 'sh', ...fixed, path, 'freeze'], {
      stdio: ['ignore', 'ignore', 'inherit'],
      env: { GLIBC_TUNABLES: 'glibc.pthread.rseq=0', PATH: process.env['PATH']! },
    })
    while (!/^State:\tT/m.test(readFileSync(`/proc/${pid}/status`, 'latin1'))) Bun.sleepSync(1)
    expect(trySeize(pid, 0)).toBe(0)
    waitFor(pid)
    frozen = freeze(pid)
    process.kill(pid, 'SIGKILL')
    waitFor(pid)
    setStart(path, { variables: {}, directory: '/proc', frozen })
  })

  test('is where a program starts', () => expect(said(path, 'word')).toBe(thawed))

  test('is passed by for who sets a variable of the runtime', () => {
    expect(said('env', 'BUN_X=', path, 'word')).toBe('cold word')
    expect(said('env', 'XBUN_X=', 'BU=', path, 'word')).toBe(thawed)
  })

  test('is passed by, and taken away again, where something is in its place', () => {
    expect(said('setarch', 'x86_64', '--addr-no-randomize', path, 'word')).toBe('cold word')
  })

  test('is passed by on a processor that lacks a feature', () => {
    const lacking = join(directory, 'lacking')
    for (const processor of [
      { ...frozen.processor, xcr0: frozen.processor.xcr0 | (1 << 30) },
      { ...frozen.processor, features: [{ leaf: 0, subleaf: 0, eax: -1, ebx: 0, ecx: 0, edx: 0 }] },
      {
        ...frozen.processor,
        features: [...frozen.processor.features, { leaf: 0, subleaf: 0, eax: 0, ebx: 0, ecx: 0, edx: -1 }],
      },
    ]) {
      compileInto(lacking, STOPPING, '-no-pie', '-Wl,-z,now')
      setStart(lacking, { variables: {}, directory: '/proc', frozen: { ...frozen, processor } })
      expect(said(lacking, 'word')).toBe('cold word')
    }
  })

  test('needs /proc', () => {
    const rootless = ['unshare', '--mount', 'sh', '-c', 'mount -t tmpfs none /proc && exec "$@"', 'sh']
    expect(said(...rootless, path, 'word')).toBe('cold word')
  })
})

test('what runs from source has the same options as the executable', () => {
  const script = readFileSync(join(import.meta.dir, '../bardo'), 'utf8')
  const set = [...script.matchAll(/(BUN_JSC_\w+)="\$\{\1-(\w+)\}"/g)].map(([, name, value]) => [name, value])
  expect(Object.fromEntries(set)).toEqual(RUNTIME_OPTIONS)
  expect(script).toContain(`|| cd ${WITHOUT_DIRECTORY} ||`)
})
