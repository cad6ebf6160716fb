import { describe, expect, test } from 'bun:test'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { bytesOf } from '../../base/bytes.ts'
import { parseMountinfo } from './mountinfo.ts'

const one = (line: string) => parseMountinfo(bytesOf(`${line}\n`))[0]!

describe('mountinfo', () => {
  test('a mount of a root', () => {
    expect(one('27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard,resuid=65534')).toEqual({
      id: 27,
      parent: 1,
      major: 254,
      minor: 0,
      root: '/',
      mountpoint: '/',
      options: ['rw', 'relatime'],
      optional: {},
      fstype: 'ext4',
      source: '/dev/vda',
      superOptions: ['rw', 'discard', 'resuid=65534'],
    })
  })

  test('propagation, and tags that are not known', () => {
    const line =
      '36 35 98:0 /mnt1 /mnt2 rw shared:1 master:2 propagate_from:3 unbindable new:x odd - fuse.sshfs a:/b rw'
    expect(one(line)).toMatchObject({
      optional: { shared: 1, master: 2, propagate_from: 3, unbindable: true },
      fstype: 'fuse.sshfs',
      source: 'a:/b',
    })
  })

  test('escapes', () => {
    const line = String.raw`1 1 0:4 /a\040b /c\011\012\134d rw - tmpfs #\043x rw,lowerdir=/l\0541:/l\134:2,x=\075y`
    expect(one(line)).toMatchObject({
      root: '/a b',
      mountpoint: '/c\t\n\\d',
      source: '##x',
      superOptions: ['rw', 'lowerdir=/l,1:/l\\:2', 'x==y'],
    })
  })

  test('escapes are undone once, and only where they are whole', () => {
    expect(one(String.raw`1 1 0:4 \134040 \0 rw - t \400 rw`)).toMatchObject({
      root: '\\040',
      mountpoint: '\\0',
      source: '\\400',
    })
  })

  test('an empty source, a name that is no UTF-8, a namespace', () => {
    expect(one('1 1 0:4 net:[4026531840] /run/bad\udcff rw - nsfs  rw')).toMatchObject({
      root: 'net:[4026531840]',
      mountpoint: '/run/bad\udcff',
      source: '',
      superOptions: ['rw'],
    })
  })

  test("a space that a file system did not escape is its option's", () => {
    expect(one('1 1 0:4 / / rw - t s rw,a=b c')).toMatchObject({ superOptions: ['rw', 'a=b c'] })
  })

  const bad = [
    '27 1 254:0 / / rw,relatime',
    '27 1 254:0 / / rw - ext4',
    '27 1 254 / / rw - ext4 /dev/vda rw',
    'x 1 254:0 / / rw - ext4 /dev/vda rw',
    '27 1 254:0 / / rw shared:x - ext4 /dev/vda rw',
    '',
  ]
  for (const line of bad)
    test(`no mountinfo: ${JSON.stringify(line)}`, () => expect(() => one(line)).toThrow('cannot parse mountinfo'))
  test('a line cut short', () => {
    expect(() => parseMountinfo(bytesOf('27 1 254:0 / / rw - ext4 /dev/vda rw'))).toThrow('cannot parse mountinfo')
  })
})

describe('mountinfo of this kernel', () => {
  test('this namespace', () => {
    const text = readFileSync('/proc/self/mountinfo')
    const mounts = parseMountinfo(text)
    expect(mounts.length).toBe(text.toString('latin1').split('\n').length - 1)
    expect(mounts.some(mount => mount.mountpoint === '/proc' && mount.fstype === 'proc')).toBe(true)
  })

  test('names with every byte that is escaped', () => {
    const folder = mkdtempSync(join(tmpdir(), 'mountinfo-'))
    const [name, source] = ['sp ace\tnew\nline\\back#hash', 'so urce\\#\n']
    try {
      const script = 'mkdir -- "$1" && mount -t tmpfs -o size=8k,mode=700 -- "$2" "$1" && cat /proc/self/mountinfo'
      const run = Bun.spawnSync(['unshare', '-m', 'sh', '-c', script, 'sh', join(folder, name), source])
      // Without the right to mount there is nothing to look at.
      if (run.exitCode !== 0) return expect(run.stderr.toString()).toMatch(/unshare|permi|denied/i)
      const mount = parseMountinfo(run.stdout).find(each => each.source === source)
      expect(mount).toMatchObject({ mountpoint: join(folder, name), fstype: 'tmpfs' })
      expect(mount!.superOptions).toContain('size=8k')
    } finally {
      rmSync(folder, { recursive: true })
    }
  })
})
