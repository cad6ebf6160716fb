import { describe, expect, test } from 'bun:test'
import { readFileSync } from 'node:fs'
import { bytesOf } from '../../base/bytes.ts'
import { parseCgroup } from './cgroup.ts'

describe('cgroup', () => {
  test('hierarchies of both versions', () => {
    const text = '9:name=systemd:/user.slice\n4:cpu,cpuacct:/a b:c\n1:memory:/../x\n0::/bad\udcff (deleted)\n'
    expect(parseCgroup(bytesOf(text))).toEqual([
      { id: 9, controllers: ['name=systemd'], path: '/user.slice', deleted: false },
      { id: 4, controllers: ['cpu', 'cpuacct'], path: '/a b:c', deleted: false },
      { id: 1, controllers: ['memory'], path: '/../x', deleted: false },
      { id: 0, controllers: [], path: '/bad\udcff (deleted)', deleted: true },
    ])
  })
  for (const text of ['0:/\n', 'x::/\n', '0::/', '\n', '0\n'])
    test(`no cgroup file: ${JSON.stringify(text)}`, () => {
      expect(() => parseCgroup(bytesOf(text))).toThrow('cannot parse cgroup')
    })
  test('of this process, written back', () => {
    const text = readFileSync('/proc/self/cgroup')
    const again = parseCgroup(text).map(({ id, controllers, path }) => `${id}:${controllers.join()}:${path}\n`)
    expect(bytesOf(again.join(''))).toEqual(new Uint8Array(text))
  })
})
