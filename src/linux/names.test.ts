import { describe, expect, test } from 'bun:test'
import { readFileSync } from 'node:fs'
import * as constants from './constants.ts'
import { argumentText, cloneFlagNames, signalName } from './names.ts'
import type { CallName } from './nr.ts'

const text = (call: CallName, ...args: (number | bigint | string)[]): string =>
  args.map((arg, index) => (typeof arg === 'string' ? arg : argumentText(call, index, arg, args))).join(', ')

describe("arguments in the kernel's names", () => {
  const cases: [call: CallName, args: (number | bigint | string)[], shown: string][] = [
    ['openat', [-100, 'path', 0o2000002, 0], 'AT_FDCWD, path, O_RDWR|O_CLOEXEC, 0'],
    ['openat', [7, 'path', 0o101, 0o640], '7, path, O_WRONLY|O_CREAT, 0640'],
    ['openat', [-100, 'path', 0o4010000, 0], 'AT_FDCWD, path, O_RDONLY|O_SYNC, 0'],
    ['openat', [-100, 'path', 0o20200003, 0], 'AT_FDCWD, path, O_ACCMODE|O_TMPFILE, 0'],
    ['openat', [-100, 'path', 0x40000000, 0], 'AT_FDCWD, path, O_RDONLY|0x40000000, 0'],
    ['dup3', [3, -100, 0], '3, -100, 0'],
    ['pipe2', ['ends', 0o2004000], 'ends, O_NONBLOCK|O_CLOEXEC'],
    [
      'mmap',
      [0x7f12_0000_0000n, 0x21000, 3, 0x100022, -1, 0],
      '0x7f1200000000, 0x21000, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_FIXED_NOREPLACE|MAP_ANONYMOUS, -1, 0',
    ],
    ['mmap', [0, 4096, 0, 0x8, 3, 0x1000n], '0, 0x1000, PROT_NONE, MAP_DROPPABLE, 3, 0x1000'],
    ['mmap', [0, 4096, 8, 0x27, 3, 0], '0, 0x1000, 0x8, MAP_ANONYMOUS|0x7, 3, 0'],
    ['mprotect', [0x1000, 0x1000, 5], '0x1000, 0x1000, PROT_READ|PROT_EXEC'],
    ['madvise', [0x1000, 0x1000, 18], '0x1000, 0x1000, MADV_WIPEONFORK'],
    ['madvise', [0x1000, 0x1000, 77], '0x1000, 0x1000, 77'],
    ['mremap', [0x1000, 0x1000, 0x1000, 3, 0x5000], '0x1000, 0x1000, 0x1000, MREMAP_MAYMOVE|MREMAP_FIXED, 0x5000'],
    ['fcntl', [3, 2, 1], '3, F_SETFD, FD_CLOEXEC'],
    ['fcntl', [3, 4, 0o6000], '3, F_SETFL, O_APPEND|O_NONBLOCK'],
    ['fcntl', [3, 4, 0], '3, F_SETFL, 0'],
    ['fcntl', [3, 10, 29], '3, F_SETSIG, SIGIO'],
    ['fcntl', [3, 1030, 0], '3, F_DUPFD_CLOEXEC, 0'],
    ['fcntl', [3, 1033, 9], '3, F_ADD_SEALS, F_SEAL_SEAL|F_SEAL_WRITE'],
    ['prctl', [35, 14, 'map', 104, 0], 'PR_SET_MM, PR_SET_MM_MAP, map, 104, 0'],
    ['prctl', [47, 2, 21, 0, 0], 'PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_SYS_ADMIN, 0, 0'],
    ['prctl', [47, 4, 0, 0, 0], 'PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0'],
    ['prctl', [24, 40, 0, 0, 0], 'PR_CAPBSET_DROP, CAP_CHECKPOINT_RESTORE, 0, 0, 0'],
    ['prctl', [1, 15, 0, 0, 0], 'PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0'],
    ['prctl', [1, 0], 'PR_SET_PDEATHSIG, 0'],
    ['prctl', [0x53564d41, 0, 0x1000], 'PR_SET_VMA, PR_SET_VMA_ANON_NAME, 4096'],
    ['prctl', [12345, 6], '12345, 6'],
    ['ioctl', [3, 0x5410, 'group'], '3, TIOCSPGRP, group'],
    ['ioctl', [3, 0x802c542a, 'termios'], '3, TCGETS2, termios'],
    ['ioctl', [3, 0x40081234, 5], '3, 0x40081234, 5'],
    ['mknodat', [5, 'name', 0o010600, 0], '5, name, S_IFIFO|0600, 0'],
    ['unlinkat', [-100, 'name', 0x200], 'AT_FDCWD, name, AT_REMOVEDIR'],
    ['umask', [0o22], '022'],
    ['lseek', [3, 1048576, 0], '3, 1048576, SEEK_SET'],
    ['rt_sigaction', [17, 'action', 0, 8], 'SIGCHLD, action, 0, 8'],
    ['rt_sigqueueinfo', [66, 34, 'info'], '66, SIGRTMIN+2, info'],
    ['setitimer', [1, 'value', 0], 'ITIMER_VIRTUAL, value, 0'],
    ['timer_create', [-6, 'event', 'id'], '-6, event, id'],
    ['prlimit64', [0, 7, 'limit', 0], '0, RLIMIT_NOFILE, limit, 0'],
    ['seccomp', [1, 2, 'program'], 'SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_LOG, program'],
    ['unshare', [0x40000200], 'CLONE_FS|CLONE_NEWNET'],
    ['socketpair', [1, 0o2000005, 0, 'pair'], 'AF_UNIX, SOCK_SEQPACKET|SOCK_CLOEXEC, 0, pair'],
    ['setresuid', [0, 100000, 4294967295], '0, 100000, 4294967295'],
    ['getpid', [65535, 65536, -1, -9999999999n], '65535, 0x10000, -1, -9999999999'],
  ]
  for (const [call, args, shown] of cases) test(`${call}(${shown})`, () => expect(text(call, ...args)).toBe(shown))

  test('signals', () => {
    expect([0, 1, 9, 31, 32, 33, 64, 65].map(signalName)).toEqual([
      '0',
      'SIGHUP',
      'SIGKILL',
      'SIGSYS',
      'SIGRTMIN',
      'SIGRTMIN+1',
      'SIGRTMIN+32',
      '65',
    ])
  })

  test('clone flags, beyond 32 bits too', () => {
    expect(cloneFlagNames(0)).toBe('')
    expect(cloneFlagNames(0x100000000 + 0x600)).toBe('CLONE_FS|CLONE_FILES|CLONE_CLEAR_SIGHAND')
  })
})

test('each name has the value that constants.ts gives it', () => {
  const source = readFileSync(new URL('names.ts', import.meta.url), 'utf8')
  const pairs = [...source.matchAll(/\b([A-Z][A-Z0-9_]+): (0x[0-9a-f]+|0o[0-7]+|\d+)\b/g)].map(
    ([, name, value]) => [name!, Number(value)] as const,
  )
  const known = new Map(Object.entries(constants))
  const shared = pairs.filter(([name]) => known.has(name))
  expect(shared.length).toBeGreaterThan(100)
  expect(shared.filter(([name, value]) => known.get(name) !== value)).toEqual([])
})
