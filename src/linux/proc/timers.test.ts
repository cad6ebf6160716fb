import { describe, expect, test } from 'bun:test'
import { readFileSync } from 'node:fs'
import { bytesOf } from '../../base/bytes.ts'
import { Arena, syscall } from '../ffi.ts'
import { parseTimers } from './timers.ts'

const SAMPLE = `ID: 1
signal: 60/00007fff86e452a8
notify: signal/pid.2634
ClockID: 0
ID: 0
signal: 64/ffffffffffffffff
notify: thread/tid.2635
ClockID: -6
`

describe('timers', () => {
  test('a file of two', () => {
    expect(parseTimers(bytesOf(SAMPLE))).toEqual([
      { id: 1, signo: 60, sigval: 0x7fff86e452a8n, notify: 'signal', target: 'pid', pid: 2634, clockid: 0 },
      { id: 0, signo: 64, sigval: 2n ** 64n - 1n, notify: 'thread', target: 'tid', pid: 2635, clockid: -6 },
    ])
  })
  test('none', () => expect(parseTimers(new Uint8Array(0))).toEqual([]))
  for (const text of ['\n', SAMPLE.slice(0, -4), SAMPLE.replace('thread', 'threat'), SAMPLE.replace('60/', '60')])
    test(`no timers file: ${JSON.stringify(text.slice(-30))}`, () => {
      expect(() => parseTimers(bytesOf(text))).toThrow('cannot parse timers')
    })

  test('of this process', () => {
    const arena = new Arena(4096)
    // struct sigevent: sigev_value, sigev_signo, sigev_notify.
    const sigevent = arena.take(64)
    const id = arena.take(8)
    arena.view.setBigUint64(0, 0xfeed_beef_1234n, true)
    arena.view.setInt32(8, 34, true)
    arena.view.setInt32(12, 1, true) // SIGEV_NONE
    // timer_create(CLOCK_MONOTONIC, …)
    expect(syscall(222, 1, sigevent, id)).toBe(0)
    const timer = arena.view.getInt32(id - arena.address, true)
    try {
      expect(parseTimers(readFileSync('/proc/self/timers'))).toContainEqual({
        id: timer,
        signo: 34,
        sigval: 0xfeed_beef_1234n,
        notify: 'none',
        target: 'pid',
        pid: process.pid,
        clockid: 1,
      })
    } finally {
      syscall(226, timer)
      arena.unmap()
    }
  })
})
