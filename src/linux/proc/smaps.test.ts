import { describe, expect, test } from 'bun:test'
import { readFileSync } from 'node:fs'
import { bytesOf } from '../../base/bytes.ts'
import { syscall } from '../ffi.ts'
import { parseMaps } from './maps.ts'
import { parseSmaps, VM_FLAG } from './smaps.ts'

const NUMBERS = `Size:                132 kB
KernelPageSize:        4 kB
MMUPageSize:           4 kB
Rss:                  12 kB
Pss:                  11 kB
Pss_Dirty:            12 kB
Shared_Clean:          1 kB
Shared_Dirty:          2 kB
Private_Clean:         3 kB
Private_Dirty:         6 kB
Referenced:            9 kB
Anonymous:            10 kB
KSM:                   0 kB
LazyFree:              0 kB
AnonHugePages:      2048 kB
ShmemPmdMapped:        0 kB
FilePmdMapped:         0 kB
Shared_Hugetlb:        0 kB
Private_Hugetlb:       0 kB
Swap:                  8 kB
SwapPss:               0 kB
Locked:                4 kB
THPeligible:           0
ProtectionKey:         5
`
const STACK = `7ffed52c6000-7ffed52e7000 rw-p 00000000 00:00 0                          [stack]
${NUMBERS}VmFlags: rd wr mr mw me gd ac \n`
const NAMELESS =
  '7f0000000000-7f0000001000 ---p 00000000 00:00 0 \nRss:                   0 kB\nVmFlags: mr mw me zz nr \n'
const GATE = 'ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]\nVmFlags: ex \n'

describe('smaps', () => {
  test('an entry with all its numbers', () => {
    expect(parseSmaps(bytesOf(STACK))).toEqual([
      {
        start: 0x7ffed52c6000,
        end: 0x7ffed52e7000,
        prot: 3,
        shared: false,
        pgoff_bytes: 0,
        major: 0,
        minor: 0,
        ino: 0,
        path: '[stack]',
        deleted: false,
        escaped: false,
        vmflags: VM_FLAG.rd | VM_FLAG.wr | VM_FLAG.mr | VM_FLAG.mw | VM_FLAG.me | VM_FLAG.gd | VM_FLAG.ac,
        rss_kb: 12,
        pss_kb: 11,
        shared_clean_kb: 1,
        shared_dirty_kb: 2,
        private_clean_kb: 3,
        private_dirty_kb: 6,
        referenced_kb: 9,
        anonymous_kb: 10,
        anon_huge_pages_kb: 2048,
        swap_kb: 8,
        locked_kb: 4,
        kernel_page_size_kb: 4,
        protection_key: 5,
      },
    ])
  })

  test('entries one after another; unknown codes are left out', () => {
    const [stack, nameless, gate] = parseSmaps(bytesOf(STACK + NAMELESS + GATE))
    expect(stack!.path).toBe('[stack]')
    expect(nameless).toMatchObject({ path: '', rss_kb: 0, vmflags: VM_FLAG.mr | VM_FLAG.mw | VM_FLAG.me | VM_FLAG.nr })
    expect(gate).toMatchObject({ start: 0xffffffffff600000, vmflags: VM_FLAG.ex })
  })

  test('every code has a bit of its own', () => {
    const codes = Object.keys(VM_FLAG) as (keyof typeof VM_FLAG)[]
    let all = 0n
    for (const code of codes) {
      const [entry] = parseSmaps(bytesOf(`1000-2000 ---p 00000000 00:00 0 \nVmFlags: ${code} \n`))
      expect(entry!.vmflags).toBe(VM_FLAG[code])
      expect(all & VM_FLAG[code]).toBe(0n)
      all |= VM_FLAG[code]
    }
    expect(codes.length).toBe(38)
    const [entry] = parseSmaps(bytesOf(`1000-2000 ---p 00000000 00:00 0 \nVmFlags: ${codes.join(' ')} \n`))
    expect(entry!.vmflags).toBe(all)
  })

  const bad: [name: string, text: string][] = [
    ['an entry without VmFlags', NAMELESS.replace('VmFlags: mr mw me zz nr \n', '') + GATE],
    ['a file cut short', STACK.slice(0, -20)],
    ['a file cut at a line', STACK.slice(0, STACK.indexOf('VmFlags'))],
    ['a number that is none', STACK.replace('12 kB', 'xx kB')],
  ]
  for (const [name, text] of bad)
    test(name, () => expect(() => parseSmaps(bytesOf(text))).toThrow('cannot parse smaps'))

  test('no bytes are no mappings', () => expect(parseSmaps(new Uint8Array(0))).toEqual([]))
})

test('smaps and maps of a quiet process agree', async () => {
  const child = Bun.spawn(['sleep', '60'])
  try {
    // Between fork and exec it still is a copy of this process.
    while (readFileSync(`/proc/${child.pid}/comm`, 'latin1') !== 'sleep\n') await Bun.sleep(1)
    await Bun.sleep(50)
    const maps = parseMaps(readFileSync(`/proc/${child.pid}/maps`))
    const smaps = parseSmaps(readFileSync(`/proc/${child.pid}/smaps`))
    expect(smaps.length).toBe(maps.length)
    for (const [i, entry] of smaps.entries()) {
      expect(entry).toMatchObject(maps[i]!)
      expect((entry.vmflags & VM_FLAG.rd) !== 0n).toBe((entry.prot & 1) !== 0)
      expect((entry.vmflags & VM_FLAG.wr) !== 0n).toBe((entry.prot & 2) !== 0)
      expect((entry.vmflags & VM_FLAG.ex) !== 0n).toBe((entry.prot & 4) !== 0)
    }
    expect(smaps.find(entry => entry.path === '[stack]')!.vmflags & VM_FLAG.gd).toBe(VM_FLAG.gd)
  } finally {
    child.kill()
    await child.exited
  }
})

test('flags that were set by madvise and mlock are told', () => {
  // mmap(0, 1 page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
  const address = syscall(9, 0, 3 * 4096, 0, 0x4022, -1, 0)
  const page = address + 4096
  syscall(10, page, 4096, 3)
  try {
    const madvise: [advice: number, flag: bigint][] = [
      [10, VM_FLAG.dc],
      [16, VM_FLAG.dd],
      [18, VM_FLAG.wf],
      [2, VM_FLAG.sr],
    ]
    for (const [advice] of madvise) expect(syscall(28, page, 4096, advice)).toBe(0)
    const locked = syscall(149, page, 4096) === 0
    const entry = parseSmaps(readFileSync('/proc/self/smaps')).find(each => each.start === page)
    for (const [, flag] of madvise) expect(entry!.vmflags & flag).toBe(flag)
    expect(entry!.vmflags & VM_FLAG.nr).toBe(VM_FLAG.nr)
    if (locked) expect(entry!.vmflags & VM_FLAG.lo).toBe(VM_FLAG.lo)
    expect(entry!.vmflags & (VM_FLAG.gd | VM_FLAG.io | VM_FLAG.ht)).toBe(0n)
  } finally {
    syscall(11, address, 3 * 4096)
  }
})
