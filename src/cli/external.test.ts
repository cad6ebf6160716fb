import { describe, expect, test } from 'bun:test'
import { externalKey } from '../base/options.ts'
import { parseExternal, parseInherited } from './external.ts'

const key = (text: string): string => externalKey(parseExternal(text))

describe('names of objects outside the image', () => {
  test('ttys, with and without the colon, in any case of the digits', () => {
    expect(parseExternal('tty[8800:d]')).toEqual({ kind: 'tty', rdev: 0x8800, dev: 0xd })
    for (const text of ['tty:[8800:d]', 'tty[0x8800:0xD]', 'tty[8800:D]']) expect(key(text)).toBe('tty[8800:d]')
  })

  test('the other forms that CRIU has', () => {
    expect(key('pipe:[123]')).toBe('pipe:[123]')
    expect(key('pipe[123]')).toBe('pipe:[123]')
    expect(key('socket:[7]')).toBe('socket:[7]')
    expect(key('unix[7]')).toBe('unix[7]')
    expect(key('file[1a:2b]')).toBe('file[1a:2b]')
    expect(parseExternal('file[1a:ffffffffffffffff]')).toMatchObject({ mnt_id: 0x1a, ino: 0xffffffffffffffffn })
    expect(parseExternal('mnt[/a[b:c]:COOKIE')).toMatchObject({ kind: 'other', type: 'mnt', value: 'COOKIE' })
    expect(parseExternal('mnt[]')).toMatchObject({ id: '', value: undefined })
    expect(parseExternal('mnt[]:sm')).toMatchObject({ id: '', value: 'sm' })
    expect(parseExternal('veth[eth0]:host@br')).toMatchObject({ type: 'veth', id: 'eth0', value: 'host@br' })
    expect(parseExternal('dev[8/1]:root')).toMatchObject({ type: 'dev', id: '8/1', value: 'root' })
  })

  test('paths are kept as images have them', () => {
    expect(key('/tmp/a file')).toBe('tmp/a file')
    expect(key('tmp/a')).toBe('tmp/a')
    expect(key('/memfd:name')).toBe('/memfd:name')
  })

  test('what is no name is refused', () => {
    for (const text of [
      '',
      '/',
      'tty[8800]',
      'tty[xyz:d]',
      'pipe:[x]',
      'pty[1:2]',
      'tty[ffffffffffffffff:d]',
      'pipe:[99999999999999999999]',
    ])
      expect(() => parseExternal(text)).toThrow('invalid argument of --external')
  })
})

describe('--inherit-fd', () => {
  test('on restore a descriptor is named', () => {
    for (const text of ['fd[1]:tty:[8800:d]', 'fd[1]:tty[8800:d]'])
      expect(parseInherited(text, 'restore')).toEqual({
        fd: 1,
        key: 'tty[8800:d]',
        resource: { kind: 'tty', rdev: 0x8800, dev: 0xd },
      })
    expect(parseInherited('fd[12]:path/to/file', 'restore')).toMatchObject({ fd: 12, key: 'path/to/file' })
    expect(() => parseInherited('fd:tty:[8800:d]', 'restore')).toThrow('does not say which descriptor')
  })

  test('on dump it need not be', () => {
    expect(parseInherited('fd:tty:[8800:d]', 'dump')).toMatchObject({ fd: undefined, key: 'tty[8800:d]' })
    expect(parseInherited('fd[3]:tty[8800:d]', 'dump')).toMatchObject({ fd: 3, key: 'tty[8800:d]' })
  })

  test('other forms are refused', () => {
    for (const text of ['', 'fd', 'fd[1]', 'fd[1]:', 'fd[-1]:x', 'fd[x]:y', '1:tty[8800:d]'])
      expect(() => parseInherited(text, 'restore')).toThrow('invalid argument of --inherit-fd')
  })
})
