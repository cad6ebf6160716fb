// What the golden images do not have: checked against what crit prints for such entries.
import { describe, expect, test } from 'bun:test'
import { bytesOf } from '../base/bytes.ts'
import { encodeEntries, Sink } from './codec.ts'
import { magicsOf, memorySource } from './entries.ts'
import { imageFiles, type ImageKey } from './files.ts'
import { ipc_msg } from './messages/ipc.ts'
import { ghost_chunk_entry } from './messages/regular.ts'
import { quotedPrintable } from './quoted-printable.ts'
import { showImage } from './show.ts'
import { type Message } from './words.ts'

function shown(key: ImageKey, build: (sink: Sink) => void): unknown {
  const sink = new Sink()
  for (const magic of magicsOf(imageFiles[key])) sink.u32(magic)
  build(sink)
  let text = ''
  showImage(memorySource(sink.written()), key, piece => (text += piece))
  const parsed = JSON.parse(text) as { magic: string; entries: unknown[] }
  expect(parsed.magic).toBe(key)
  return parsed.entries
}

const put = (sink: Sink, message: Message, state: object): void => encodeEntries(sink, message, [state as never])

describe('show', () => {
  test('a ghost in chunks is a list of chunks', () => {
    const entries = shown('GHOST_FILE', sink => {
      put(sink, imageFiles.GHOST_FILE.entry, { uid: 0, gid: 0, mode: 0o100644, rdev: 0x10_0305, chunks: true })
      put(sink, ghost_chunk_entry, { len: 3n, off: 4096n })
      sink.append(bytesOf('abc'))
      put(sink, ghost_chunk_entry, { len: 0n, off: 8192n })
    })
    expect(entries).toEqual([
      { uid: 0, gid: 0, mode: 33188, rdev: '3:261', chunks: true },
      { len: 3, off: 4096, extra: 'YWJj\n' },
      { len: 0, off: 8192, extra: '' },
    ])
  })

  test('a message queue', () => {
    const desc = { key: 1, uid: 0, gid: 0, cuid: 0, cgid: 0, mode: 0o600, id: 0 }
    const entries = shown('IPCNS_MSG', sink => {
      put(sink, imageFiles.IPCNS_MSG.entry, { desc, qbytes: 16384, qnum: 2 })
      for (const text of ['hello', 'world, it is']) {
        put(sink, ipc_msg, { mtype: 1n, msize: text.length })
        sink.append(bytesOf(text.padEnd(Math.ceil(text.length / 8) * 8, '\0')))
      }
    })
    const extra = [{ mtype: 1, msize: 5 }, 'aGVsbG8=\n', { mtype: 1, msize: 12 }, 'd29ybGQsIGl0IGlz\n']
    expect(entries).toEqual([{ desc, qbytes: 16384, qnum: 2, extra }])
  })

  test('semaphores, padded to eight bytes, twice', () => {
    const desc = { key: 1, uid: 0, gid: 0, cuid: 0, cgid: 0, mode: 0o600, id: 0 }
    const entries = shown('IPCNS_SEM', sink => {
      for (const values of [
        [1, 2, 258],
        [7, 0, 0, 0, 9],
      ]) {
        put(sink, imageFiles.IPCNS_SEM.entry, { desc, nsems: values.length })
        const data = new Uint16Array(Math.ceil(values.length / 4) * 4)
        data.set(values)
        sink.append(new Uint8Array(data.buffer))
      }
    })
    expect(entries).toEqual([
      { desc, nsems: 3, extra: [1, 2, 258] },
      { desc, nsems: 5, extra: [7, 0, 0, 0, 9] },
    ])
  })

  test('queues of a TCP connection', () => {
    const state = { inq_len: 2, inq_seq: 1, outq_len: 3, outq_seq: 1, opt_mask: 5, snd_wscale: 7, mss_clamp: 1460 }
    const entries = shown('TCP_STREAM', sink => {
      put(sink, imageFiles.TCP_STREAM.entry, state)
      sink.append(bytesOf('inout'))
    })
    expect(entries).toEqual([{ ...state, opt_mask: '0x5', extra: { inq: 'aW4=\n', outq: 'b3V0\n' } }])
  })

  test('addresses, device numbers, unknown values and odd names', () => {
    const ip6 = (text: string): number[] => {
      const view = new DataView(Uint8Array.fromHex(text).buffer)
      return [0, 4, 8, 12].map(at => view.getUint32(at, true))
    }
    const fown = { uid: 0, euid: 0, signum: 0, pid_type: 0, pid: 0 }
    const opts = {
      so_sndbuf: 0,
      so_rcvbuf: 0,
      so_snd_tmo_sec: 0n,
      so_snd_tmo_usec: 0n,
      so_rcv_tmo_sec: 0n,
      so_rcv_tmo_usec: 0n,
      so_filter: [],
    }
    const socket = (src_addr: number[], type: number): object => ({
      id: 1,
      ino: 2,
      family: 10,
      type,
      proto: 6,
      state: 10,
      src_port: 1,
      dst_port: 2,
      flags: 2,
      backlog: 0,
      src_addr,
      dst_addr: [0x0100_007f],
      fown,
      opts,
    })
    const entries = shown('INETSK', sink => {
      put(sink, imageFiles.INETSK.entry, socket(ip6('20010db8000000000001000000000001'), 1))
      put(sink, imageFiles.INETSK.entry, socket([0, 0, 0, 0], 77))
      put(sink, imageFiles.INETSK.entry, socket(ip6('00000000000000000000000000000001'), 2))
      put(sink, imageFiles.INETSK.entry, socket(ip6('fe800000000000000001000200030004'), 2))
    }) as { src_addr: string[]; dst_addr: string[]; type: unknown; state: string; family: string }[]
    expect(entries.map(entry => entry.src_addr[0])).toEqual(['2001:db8::1:0:0:1', '::', '::1', 'fe80::1:2:3:4'])
    expect(entries.map(entry => entry.type)).toEqual(['STREAM', 77, 'DGRAM', 'DGRAM'])
    expect(entries[0]).toMatchObject({ dst_addr: ['127.0.0.1'], state: 'LISTEN', family: 'INET6' })
  })

  test('names are ASCII, whatever their bytes', () => {
    const sink = new Sink()
    for (const magic of magicsOf(imageFiles.UTSNS)) sink.u32(magic)
    put(sink, imageFiles.UTSNS.entry, { nodename: 'ä"\n', domainname: '\udcff' })
    let text = ''
    showImage(memorySource(sink.written()), 'utsns-1.img', piece => (text += piece))
    expect(text).toContain(String.raw`"nodename": "\u00e4\"\n"`)
    expect(text).toContain(String.raw`"domainname": "\udcff"`)
  })

  test('a file without entries, and one that is no image', () => {
    expect(shown('PSTREE', () => {})).toEqual([])
    expect(() => showImage(memorySource(new Uint8Array(4096)), 'pages-1.img', () => {})).toThrow(
      'pages-1.img is not an image file with entries',
    )
  })
})

// The right side is what Python's binascii.b2a_qp gives.
test('quoted-printable', () => {
  const cases: [string, string][] = [
    ['\0abstract', '=00abstract'],
    ['/run/a=b', '/run/a=3Db'],
    ['.', '=2E'],
    ['.hidden', '.hidden'],
    ['blank ', 'blank=20'],
    ['two words', 'two words'],
    ['line \nnext', 'line=20\nnext'],
    ['\xff', '=C3=BF'],
    ['x'.repeat(80), `${'x'.repeat(75)}=\n${'x'.repeat(5)}`],
    ['\x01'.repeat(26), `${'=01'.repeat(25)}=\n=01`],
    ['a\r\nb\n', 'a\r\nb\r\n'],
  ]
  for (const [raw, encoded] of cases) expect(quotedPrintable(bytesOf(raw))).toBe(encoded)
})
