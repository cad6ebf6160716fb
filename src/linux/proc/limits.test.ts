import { describe, expect, test } from 'bun:test'
import { readFileSync } from 'node:fs'
import { bytesOf } from '../../base/bytes.ts'
import { Arena, syscall } from '../ffi.ts'
import { parseLimits, RLIM_INFINITY } from './limits.ts'

const SAMPLE = `Limit                     Soft Limit           Hard Limit           Units     
Max cpu time              unlimited            unlimited            seconds   
Max file size             unlimited            unlimited            bytes     
Max data size             unlimited            unlimited            bytes     
Max stack size            8388608              unlimited            bytes     
Max core file size        0                    unlimited            bytes     
Max resident set          unlimited            unlimited            bytes     
Max processes             96365                96366                processes 
Max open files            20000                20000                files     
Max locked memory         8388608              8388608              bytes     
Max address space         18446744073709551614 unlimited            bytes     
Max file locks            unlimited            unlimited            locks     
Max pending signals       96365                96365                signals   
Max msgqueue size         819200               819200               bytes     
Max nice priority         0                    0                    
Max realtime priority     0                    99                   
Max realtime timeout      unlimited            unlimited            us        
`

describe('limits', () => {
  test('by number', () => {
    const limits = parseLimits(bytesOf(SAMPLE))
    expect(limits.length).toBe(16)
    expect(limits[0]).toEqual({ cur: RLIM_INFINITY, max: RLIM_INFINITY })
    expect(limits[3]).toEqual({ cur: 8388608n, max: RLIM_INFINITY })
    expect(limits[6]).toEqual({ cur: 96365n, max: 96366n })
    expect(limits[9]).toEqual({ cur: 2n ** 64n - 2n, max: RLIM_INFINITY })
    expect(limits[14]).toEqual({ cur: 0n, max: 99n })
  })

  const bad: [name: string, text: string][] = [
    ['nothing', ''],
    ['fewer limits', SAMPLE.slice(0, SAMPLE.indexOf('Max realtime timeout'))],
    ['more limits', `${SAMPLE}Max new thing             0                    0\n`],
    ['another order', SAMPLE.replace('Max file size', 'Max data size')],
    ['an unlimited that is longer', SAMPLE.replace('unlimited', 'unlimitedX')],
    ['a value that is none', SAMPLE.replace('819200 ', 'x19200 ')],
  ]
  for (const [name, text] of bad)
    test(name, () => expect(() => parseLimits(bytesOf(text))).toThrow('cannot parse limits'))

  test('of this process are those of prlimit64', () => {
    const arena = new Arena(4096)
    const limits = parseLimits(readFileSync('/proc/self/limits'))
    for (const [resource, limit] of limits.entries()) {
      expect(syscall(302, 0, resource, 0, arena.address)).toBe(0)
      expect(limit).toEqual({ cur: arena.view.getBigUint64(0, true), max: arena.view.getBigUint64(8, true) })
    }
    arena.unmap()
  })
})
