import { describe, expect, test } from 'bun:test'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { bytesOf } from '../../base/bytes.ts'
import { parseCgroup } from './cgroup.ts'
import { parseMaps } from './maps.ts'
import { parseStat } from './stat.ts'
import { parseStatus, parseThreadStatus } from './status.ts'

const SAMPLE = `Name:\ta) (b\\n\\\\x\\t
Umask:\t0022
State:\tT (stopped)
Tgid:\t8574
Ngid:\t0
Pid:\t8575
PPid:\t8550
TracerPid:\t12
Uid:\t0\t1000\t4294967294\t3
Gid:\t4\t5\t6\t7
FDSize:\t256
Groups:\t4 20 65534 
NStgid:\t8574\t3
NSpid:\t8575\t4
NSpgid:\t8550\t0
NSsid:\t6181\t0
Kthread:\t0
VmPeak:\t    3060 kB
VmRSS:\t    1784 kB
THP_enabled:\t1
untag_mask:\t0xffffffffffffffff
Threads:\t2
SigQ:\t3/18446744073709551615
SigPnd:\t0000000000000001
ShdPnd:\t8000000000000000
SigBlk:\tfffffffe7ffbfeff
SigIgn:\t0000000001001000
SigCgt:\t0000000000000002
CapInh:\t0000000000000000
CapPrm:\t000001fffeffffff
CapEff:\t000001fffefffffe
CapBnd:\t000001fffefffffd
CapAmb:\t0000000000000004
NoNewPrivs:\t1
Seccomp:\t2
Seccomp_filters:\t3
Speculation_Store_Bypass:\tvulnerable
Cpus_allowed:\t3
Cpus_allowed_list:\t0-1
nonvoluntary_ctxt_switches:\t1
`

describe('status', () => {
  test('every field', () => {
    expect(parseStatus(bytesOf(SAMPLE))).toEqual({
      name: 'a) (b\n\\x\\t',
      state: 'T',
      tgid: 8574,
      ngid: 0,
      pid: 8575,
      ppid: 8550,
      tracerPid: 12,
      uid: [0, 1000, 4294967294, 3],
      gid: [4, 5, 6, 7],
      groups: [4, 20, 65534],
      nstgid: [8574, 3],
      nspid: [8575, 4],
      nspgid: [8550, 0],
      nssid: [6181, 0],
      umask: 0o22,
      sigQ: { queued: 3, limit: 2n ** 64n - 1n },
      sigPnd: 1n,
      shdPnd: 1n << 63n,
      sigBlk: 0xfffffffe7ffbfeffn,
      sigIgn: 0x1001000n,
      sigCgt: 2n,
      capInh: 0n,
      capPrm: 0x1fffeffffffn,
      capEff: 0x1fffefffffen,
      capBnd: 0x1fffefffffdn,
      capAmb: 4n,
      noNewPrivs: true,
      seccomp: 2,
      seccompFilters: 3,
      threads: 2,
      vmRSS_kb: 1784,
      thpEnabled: true,
      kthread: false,
    })
  })

  for (const [shown, name] of [
    ['', ''],
    [' \t: x', ' \t: x'],
    ['\\', '\\'],
    ['\\\\n', '\\n'],
    ['bad\udcff', 'bad\udcff'],
  ])
    test(`the name ${JSON.stringify(name)}`, () => {
      expect(parseStatus(bytesOf(SAMPLE.replace(/^Name:.*/, () => `Name:\t${shown}`))).name).toBe(name!)
    })

  test('a thread shares the credentials of its leader only where every line of them is the same', () => {
    const bytes = bytesOf(SAMPLE)
    const leader = { bytes, status: parseStatus(bytes) }
    const other = SAMPLE.replace(/^Name:.*/, 'Name:\tworker').replace(/^NSpid:.*/m, 'NSpid:\t77\t8')
    const same = parseThreadStatus(bytesOf(other), leader)
    expect(same).toEqual({ name: 'worker', nspid: [77, 8], seccomp: leader.status.seccomp, credentials: leader.status })
    expect(same.credentials).toBe(leader.status)
    for (const [line, value] of [
      ['Uid', 'Uid:\t1\t2\t3\t4'],
      ['Groups', 'Groups:\t5 '],
      ['CapAmb', 'CapAmb:\t0000000000000001'],
      ['NoNewPrivs', 'NoNewPrivs:\t0'],
      ['Seccomp', 'Seccomp:\t1'],
    ] as const) {
      const text = other.replace(new RegExp(`^${line}:.*`, 'm'), value)
      expect(text).not.toBe(other)
      const status = parseStatus(bytesOf(text))
      expect(parseThreadStatus(bytesOf(text), leader)).toEqual({
        name: 'worker',
        nspid: [77, 8],
        seccomp: status.seccomp,
        credentials: status,
      })
    }
  })
  test('no groups', () => expect(parseStatus(bytesOf(SAMPLE.replace('4 20 65534 ', ' '))).groups).toEqual([]))

  test('a task without memory and files, on a kernel without seccomp', () => {
    const less = SAMPLE.replace(/^(Umask|Vm.*|THP.*|Seccomp.*|NS.*|Kthread):.*\n/gm, '')
    const status = parseStatus(bytesOf(less))
    expect(status).toMatchObject({ nspid: [], seccomp: 0, kthread: false })
    for (const key of ['umask', 'vmRSS_kb', 'thpEnabled', 'seccompFilters']) expect(status).not.toHaveProperty(key)
  })

  const bad: [name: string, text: string][] = [
    ['nothing', ''],
    ['a file cut at a line', SAMPLE.slice(0, SAMPLE.indexOf('CapAmb'))],
    ['a file cut in a line', SAMPLE.slice(0, -3)],
    ['a key twice', `${SAMPLE}Pid:\t1\n`],
    ['three ids', SAMPLE.replace('\t3\n', '\n')],
    ['a number that is none', SAMPLE.replace('8575', '85x75')],
    ['no state', SAMPLE.replace('T (stopped)', '')],
    ['a line without a colon', `${SAMPLE}hello\n`],
    ['a mask of 17 digits', SAMPLE.replace('8000000000000000', '80000000000000000')],
  ]
  for (const [name, text] of bad)
    test(name, () => expect(() => parseStatus(bytesOf(text))).toThrow('cannot parse status'))
})

describe('status of this kernel', () => {
  test('this process', () => {
    const status = parseStatus(readFileSync('/proc/self/status'))
    const [uid, euid, gid, egid] = [process.getuid!(), process.geteuid!(), process.getgid!(), process.getegid!()]
    expect(status).toMatchObject({ pid: process.pid, tgid: process.pid, ppid: process.ppid, umask: process.umask() })
    expect(status.uid.slice(0, 2)).toEqual([uid, euid])
    expect(status.gid.slice(0, 2)).toEqual([gid, egid])
    expect(status.threads).toBe(readdirSync('/proc/self/task').length)
    expect(status.nspid.at(-1)).toBe(process.pid)
    // The runtime ignores SIGPIPE (13).
    expect(status.sigIgn & (1n << 12n)).toBe(1n << 12n)
  })

  // What a comment in status.ts claims: newline and backslash are escaped, nothing else.
  for (const name of ['x\ny\\n', ' lead', '\t\\', 'bad\udcff', 'a:\tb'])
    test(`a name ${JSON.stringify(name)}`, () => {
      const before = readFileSync('/proc/self/comm').subarray(0, -1)
      try {
        writeFileSync('/proc/self/comm', bytesOf(name))
        expect(parseStatus(readFileSync('/proc/self/status')).name).toBe(name)
      } finally {
        writeFileSync('/proc/self/comm', before)
      }
    })

  test('a zombie has a status and a stat, and neither memory nor files', async () => {
    // The shell's child ends when the shell has become another program, which does not wait for it.
    const parent = Bun.spawn(['sh', '-c', 'sleep 0.3 & echo $!; exec sleep 60'], { stdout: 'pipe' })
    try {
      const { value } = await parent.stdout.getReader().read()
      const folder = `/proc/${Number(new TextDecoder().decode(value))}`
      for (let tries = 0; tries < 200; tries++) {
        if (parseStat(readFileSync(`${folder}/stat`)).state === 'Z') break
        await Bun.sleep(5)
      }
      const status = parseStatus(readFileSync(`${folder}/status`))
      expect(status).toMatchObject({ state: 'Z', ppid: parent.pid, threads: 1 })
      expect(status).not.toHaveProperty('umask')
      expect(status).not.toHaveProperty('vmRSS_kb')
      expect(parseMaps(readFileSync(`${folder}/maps`))).toEqual([])
      // Of a task without memory, auxv cannot even be opened.
      expect(() => readFileSync(`${folder}/auxv`)).toThrow('ESRCH')
      expect(parseCgroup(readFileSync(`${folder}/cgroup`)).length).toBeGreaterThan(0)
    } finally {
      parent.kill()
      await parent.exited
    }
  })
})
