import { describe, expect, test } from 'bun:test'
import { BardoError } from '../base/errors.ts'
import { getopt } from './getopt.ts'
import { OPTIONS } from './options.ts'

/** What was found, as `long=value`, `long` or `!long`, then the operands. */
function read(line: string | string[], permute = true): string[] {
  const words = typeof line === 'string' ? line.split(' ').filter(Boolean) : line
  const { found, operands } = getopt(words, OPTIONS, { permute })
  return [
    ...found.map(
      ({ spec, value, negated }) => `${negated ? '!' : ''}${spec.long}${value === undefined ? '' : `=${value}`}`,
    ),
    ...operands.map(word => `.${word}`),
  ]
}

function refusal(line: string): BardoError {
  try {
    read(line)
  } catch (thrown) {
    if (thrown instanceof BardoError) return thrown
  }
  throw new Error(`'${line}' was taken`)
}

describe('getopt', () => {
  const cases: [string, string[]][] = [
    ['dump -t 123', ['tree=123', '.dump']],
    ['dump -t123', ['tree=123', '.dump']],
    ['-t 123 dump -D imgs', ['tree=123', 'images-dir=imgs', '.dump']],
    ['dump -Dimgs -o-', ['images-dir=imgs', 'log-file=-', '.dump']],
    ['dump --tree=123 --images-dir imgs', ['tree=123', 'images-dir=imgs', '.dump']],
    ['-v4', ['verbosity=4']],
    ['-v 4', ['verbosity', '.4']],
    ['-vvvv', ['verbosity=vvv']],
    ['-v -v', ['verbosity', 'verbosity']],
    ['-verbosity=0', ['verbosity=erbosity=0']],
    ['--verbosity=4', ['verbosity=4']],
    ['--verbosity 4', ['verbosity', '.4']],
    ['-jRv4', ['shell-job', 'leave-running', 'verbosity=4']],
    ['-jRt 5', ['shell-job', 'leave-running', 'tree=5']],
    ['-dSjo log', ['restore-detached', 'restore-sibling', 'shell-job', 'log-file=log']],
    ['--manage-cgroups none', ['manage-cgroups', '.none']],
    ['--manage-cgroups=none', ['manage-cgroups=none']],
    ['--no-display-stats --display-stats', ['!display-stats', 'display-stats']],
    ['--no-default-config', ['no-default-config']],
    ['--leave-r', ['leave-running']],
    ['--ext-u', ['ext-unix-sk']],
    ['--no-disp', ['!display-stats']],
    ['--root x', ['root=x']],
    ['-t -1', ['tree=-1']],
    ['--images-dir=', ['images-dir=']],
    ['restore -- cmd -t 5', ['.restore', '.cmd', '.-t', '.5']],
    ['restore -', ['.restore', '.-']],
    ['-x', ['ext-unix-sk']],
    ['-x12,13', ['ext-unix-sk=12,13']],
    ['--inherit-fd fd[1]:tty[8800:d]', ['inherit-fd=fd[1]:tty[8800:d]']],
  ]
  for (const [line, wanted] of cases) test(line, () => expect(read(line)).toEqual(wanted))

  test('stops at the first operand where permutation is off', () => {
    expect(read('-j dump -t 5', false)).toEqual(['shell-job', '.dump', '.-t', '.5'])
  })

  test('refuses by name, and says what may have been meant', () => {
    expect(refusal('--leave-runing')).toMatchObject({
      code: 'usage',
      what: "unrecognized option '--leave-runing'",
      hint: "did you mean '--leave-running'?",
    })
    expect(refusal('--leave').what).toBe("option '--leave' is ambiguous")
    expect(refusal('--leave').why).toBe("it could be '--leave-stopped', '--leave-running'")
    expect(refusal('dump -t').what).toBe("option '-t' requires an argument")
    expect(refusal('dump --tree').what).toBe("option '--tree' requires an argument")
    expect(refusal('--help=1').what).toBe("option '--help' doesn't allow an argument")
    expect(refusal('-q').what).toBe("invalid option '-q'")
    expect(refusal('-jq').what).toBe("invalid option '-q' in '-jq'")
    expect(refusal('-images-dir').hint).toBe("long options take two dashes: '--images-dir'")
    expect(refusal('--no-tree').what).toBe("unrecognized option '--no-tree'")
  })
})
