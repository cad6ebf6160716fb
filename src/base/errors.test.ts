import { describe, expect, test } from 'bun:test'
import { asBardoError, BardoError, errnoName, errnoNumber, errnoText, render, renderLine, Report } from './errors.ts'

describe('errno', () => {
  test('has names and texts', () => {
    expect([errnoName(1), errnoName(-2), errnoName(133), errnoName(41)]).toEqual([
      'EPERM',
      'ENOENT',
      'EHWPOISON',
      'errno 41',
    ])
    expect([errnoText(1), errnoText(-110), errnoText(999)]).toEqual([
      'operation not permitted',
      'connection timed out',
      '',
    ])
    expect([errnoNumber('EBADE'), errnoNumber('EWOULDBLOCK'), errnoNumber('ENOTSUP'), errnoNumber('EXYZ')]).toEqual([
      52,
      11,
      95,
      undefined,
    ])
  })
})

describe('render', () => {
  const pipe = new BardoError('unsupported', 'cannot dump pipe: packet mode (O_DIRECT) is not supported', {
    where: 'pid 4312 "postgres", fd 7 -> pipe:[81123]',
    why: "the queue's packet borders are not readable from outside",
    hint: "close it before the dump, or leave it outside: --external 'pipe:[81123]'",
  })

  test('gives place, reason and remedy a line each', () => {
    expect(render(pipe)).toBe(`Error: cannot dump pipe: packet mode (O_DIRECT) is not supported
  where  pid 4312 "postgres", fd 7 -> pipe:[81123]
  why    the queue's packet borders are not readable from outside
  do     close it before the dump, or leave it outside: --external 'pipe:[81123]'`)
    expect(renderLine(pipe)).not.toContain('\n')
  })

  test("names the kernel's answer once", () => {
    expect(render(new BardoError('refused', 'cannot open x', { errno: -2 }))).toBe(
      'Error: cannot open x (ENOENT: no such file or directory)',
    )
    expect(render(new BardoError('refused', 'open answered ENOENT', { errno: 2 }))).toBe('Error: open answered ENOENT')
  })

  test('gives every finding a block', () => {
    const report = new Report()
    report.add(pipe)
    report.add(pipe)
    report.collect(() => {
      throw new BardoError('unsupported', 'cannot dump socket')
    })
    expect(() => report.throwIfAny('cannot dump')).toThrow('cannot dump: 2 reasons')
    try {
      report.throwIfAny('cannot dump')
    } catch (thrown) {
      expect(render(thrown as BardoError).split('\n')).toHaveLength(6)
      expect((thrown as BardoError).code).toBe('unsupported')
    }
  })
})

describe('Report', () => {
  test('throws nothing, or the one finding itself', () => {
    const report = new Report()
    report.throwIfAny('x')
    const only = new BardoError('lost', 'gone')
    report.add(only)
    expect(() => report.throwIfAny('x')).toThrow(only)
  })

  test('tells apart what differs in either text, and keeps their order', () => {
    const report = new Report()
    const texts = [['a'], ['a', 'b'], ['ab'], ['a', 'c'], ['a'], ['a', 'b'], ['a', '']] as const
    for (const [what, where] of texts) report.add(new BardoError('unsupported', what, { where }))
    expect(report.findings.map(({ what, where }) => [what, where])).toEqual([
      ['a', undefined],
      ['a', 'b'],
      ['ab', undefined],
      ['a', 'c'],
      ['a', ''],
    ])
  })

  test('takes as many as a large tree can have', () => {
    // Held against each other, one by one, these would take longer than any test may.
    const COUNT = 400_000
    const report = new Report()
    for (let pid = 0; pid < COUNT; pid++)
      report.add(new BardoError('unsupported', 'cannot dump', { where: `pid ${pid}` }))
    expect(report.findings.length).toBe(COUNT)
  })

  test('lets bugs and lost targets through', () => {
    const report = new Report()
    expect(() =>
      report.collect(() => {
        throw new TypeError('x')
      }),
    ).toThrow(TypeError)
    expect(() =>
      report.collect(() => {
        throw new BardoError('lost', 'gone')
      }),
    ).toThrow('gone')
    expect(report.collect(() => 5)).toBe(5)
    expect(report.empty).toBe(true)
  })
})

test('about puts outer places before inner ones', () => {
  expect(new BardoError('refused', 'x').about('fd 7').about('pid 1').where).toBe('pid 1, fd 7')
})

test('what is thrown otherwise is a bug', () => {
  expect(asBardoError(new TypeError('x is not a function'))).toMatchObject({ code: 'bug' })
  expect(asBardoError('text').what).toBe('text')
})
