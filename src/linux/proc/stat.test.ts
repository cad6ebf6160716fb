import { describe, expect, test } from 'bun:test'
import { readFileSync, writeFileSync } from 'node:fs'
import { bytesOf } from '../../base/bytes.ts'
import { parseMaps } from './maps.ts'
import { parseStat } from './stat.ts'

const REST =
  ' S 20586 20587 6181 34816 4110 4194304 2969 6587 3 0 3 0 3 1 20 -5 7 0 129139 17358848 3493 18446744073709551615 ' +
  '94343865483264 94343865483605 140726103977600 0 0 0 0 16781312 2 0 0 0 17 1 40 2 0 0 0 94215766154288 ' +
  '94215766155904 94216116301824 140727527942592 140727527942705 140727527942706 140727527944171 256\n'

describe('stat', () => {
  test('every field', () => {
    expect(parseStat(bytesOf(`20590 (cat)${REST}`))).toEqual({
      pid: 20590,
      comm: 'cat',
      state: 'S',
      ppid: 20586,
      pgrp: 20587,
      session: 6181,
      tty_nr: 34816,
      tpgid: 4110,
      flags: 4194304,
      nice: -5,
      num_threads: 7,
      starttime: 129139n,
      start_code: 94343865483264,
      end_code: 94343865483605,
      start_stack: 140726103977600,
      exit_signal: 17,
      processor: 1,
      rt_priority: 40,
      policy: 2,
      start_data: 94215766154288,
      end_data: 94215766155904,
      start_brk: 94216116301824,
      arg_start: 140727527942592,
      arg_end: 140727527942705,
      env_start: 140727527942706,
      env_end: 140727527944171,
      exit_code: 256,
    })
  })

  for (const comm of ['a) (b', 'a b', ')', '((', '', 'x\ny) S 1 (', 'bad\udcff', 'tab\t\\n', ') R 1 1 1 1 1'])
    test(`a task named ${JSON.stringify(comm)}`, () => {
      expect(parseStat(bytesOf(`1 (${comm})${REST}`))).toMatchObject({ pid: 1, comm, state: 'S', ppid: 20586 })
    })

  test('fields that a later kernel appends are left', () => {
    expect(parseStat(bytesOf(`1 (x)${REST.trimEnd()} 7 8\n`)).exit_code).toBe(256)
  })

  const bad: [name: string, text: string][] = [
    ['nothing', ''],
    ['no name', `1 x${REST}`],
    ['an open name', `1 (x${REST}`],
    ['a line cut short', `1 (x)${REST}`.slice(0, -10)],
    ['too few fields', `1 (x)${REST}`.replace(' 256\n', '\n')],
    ['a number that is none', `1 (x)${REST}`.replace('20587', '2058x')],
    ['an address beyond 2^53', `1 (x)${REST}`.replace('94343865483264', '18446744073709551615')],
    ['a start time of 65 bits', `1 (x)${REST}`.replace('129139', '18446744073709551616')],
    ['a long state', `1 (x)${REST}`.replace(' S ', ' SS ')],
  ]
  for (const [name, text] of bad) test(name, () => expect(() => parseStat(bytesOf(text))).toThrow('cannot parse stat'))
})

describe('stat of this kernel', () => {
  test('this process', () => {
    const stat = parseStat(readFileSync('/proc/self/stat'))
    expect(stat).toMatchObject({ pid: process.pid, ppid: process.ppid, exit_code: 0, exit_signal: 17 })
    expect('RS').toContain(stat.state)
    const stack = parseMaps(readFileSync('/proc/self/maps')).find(mapping => mapping.path === '[stack]')!
    for (const address of [stat.start_stack, stat.arg_start, stat.arg_end, stat.env_start, stat.env_end]) {
      expect(address).toBeGreaterThan(stack.start)
      expect(address).toBeLessThan(stack.end)
    }
  })

  // What a comment in stat.ts claims: the name comes as it is.
  for (const comm of ['a) (b', 'x\ny\\n', 'bad\udcff'])
    test(`a name ${JSON.stringify(comm)}`, () => {
      const before = readFileSync('/proc/self/comm').subarray(0, -1)
      try {
        writeFileSync('/proc/self/comm', bytesOf(comm))
        expect(parseStat(readFileSync('/proc/self/stat')).comm).toBe(comm)
      } finally {
        writeFileSync('/proc/self/comm', before)
      }
    })
})
