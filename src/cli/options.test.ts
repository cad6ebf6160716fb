import { describe, expect, test } from 'bun:test'
import { render, type BardoError } from '../base/errors.ts'
import { help, synopsis } from './help.ts'
import { COMMANDS, GROUPS, OPTIONS } from './options.ts'
import { checkOptions, commandLine, dumpOptions, NOWHERE, restoreOptions, scan, type CommandLine } from './parse.ts'

/** The options of criu 4.2 (crtools, `criu --help` and its hidden ones). */
const CRIU =
  `tree leave-stopped leave-running restore-detached restore-sibling daemon images-dir work-dir log-file join-ns root
  ext-unix-sk help tcp-established close log-pid version evasive-devices pidfile veth-pair action-script link-remap
  shell-job file-locks page-server address port prev-images-dir ms track-mem auto-dedup libdir cpu-cap force-irmap
  ext-mount-map exec-cmd manage-cgroups cgroup-root inherit-fd feature skip-mnt enable-fs enable-external-sharing
  enable-external-masters freeze-cgroup ghost-limit irmap-scan-path lsm-profile timeout external empty-ns lazy-pages
  extra experimental all cgroup-props cgroup-props-file cgroup-dump-controller skip-in-flight deprecated display-stats
  weak-sysctls status-fd tcp-close verbosity ps-socket stream config no-default-config tls-cacert tls-cacrl tls-cert
  tls-key tls tls-no-cn-verify cgroup-yard pre-dump-mode file-validation skip-file-rwx-check lsm-mount-context
  network-lock mntns-compat-mode unprivileged ghost-fiemap allow-uprobes`.split(/\s+/)

function line(words: string): CommandLine {
  const { found, operands } = scan(words.split(' ').filter(Boolean))
  return commandLine(found, operands)
}

function refusal(words: string): BardoError {
  try {
    line(words)
  } catch (thrown) {
    return thrown as BardoError
  }
  throw new Error(`'${words}' was taken`)
}

describe('the option table', () => {
  test("has all of CRIU's options, and marks its own", () => {
    const names = OPTIONS.filter(option => !option.ours).map(option => option.long)
    expect(names.toSorted()).toEqual(CRIU.toSorted())
  })

  test('tells of each option what becomes of it, in exactly one way', () => {
    for (const option of OPTIONS) {
      const fates = [option.since, option.harmless, option.hint].filter(fate => fate !== undefined)
      expect({ option: option.long, fates: fates.length }).toEqual({ option: option.long, fates: 1 })
    }
  })

  test('is consistent', () => {
    expect(new Set(OPTIONS.map(option => option.long)).size).toBe(OPTIONS.length)
    const shorts = OPTIONS.flatMap(option => option.short ?? [])
    expect(new Set(shorts).size).toBe(shorts.length)
    for (const { long, takes, type, arg, choices, negatable, group, commands } of OPTIONS) {
      expect({
        long,
        ok: (takes === 'nothing') === (type === 'flag') && (type === 'flag') === (arg === undefined),
      }).toEqual({ long, ok: true })
      expect({ long, ok: (type === 'choice') === (choices !== undefined) && (!negatable || type === 'flag') }).toEqual({
        long,
        ok: true,
      })
      expect({ long, ok: group in GROUPS && commands.every(command => command in COMMANDS) }).toEqual({
        long,
        ok: true,
      })
    }
  })

  test('makes the help text, which hides from criu what criu has not', () => {
    for (const option of OPTIONS) expect(help('bardo')).toContain(synopsis(option))
    expect(help('bardo')).toContain('--explain')
    expect(help('criu')).not.toContain('--explain')
  })
})

describe('a command line', () => {
  test('of a dump', () => {
    const options = dumpOptions(
      line('dump -D imgs -o dump.log -v4 -t 4109 -R --external tty[8800:d] --inherit-fd fd:tty:[8800:d]'),
      NOWHERE,
    )
    expect(options).toMatchObject({
      pid: 4109,
      finalState: 'running',
      shellJob: false,
      timeoutSeconds: 10,
      fileValidation: 'buildid',
      ghostLimitBytes: 1 << 20,
      externals: [{ kind: 'tty', rdev: 0x8800, dev: 0xd }],
    })
    expect(Object.isFrozen(options)).toBe(true)
    expect(dumpOptions(line('dump -t 1 -s -R --ghost-limit 8M --timeout 3'), NOWHERE)).toMatchObject({
      finalState: 'stopped',
      ghostLimitBytes: 8 << 20,
      timeoutSeconds: 3,
    })
    expect(dumpOptions(line('dump -t 1'), NOWHERE).finalState).toBe('dead')
  })

  test('of a restore', () => {
    const options = restoreOptions(line('restore -D imgs -d -S -j --pidfile p --inherit-fd fd[1]:tty[8800:d]'), NOWHERE)
    expect(options).toMatchObject({
      detached: true,
      sibling: true,
      shellJob: true,
      pidfile: 'p',
      finalState: 'running',
      explain: false,
      inherited: [{ fd: 1, key: 'tty[8800:d]' }],
    })
    expect(() => restoreOptions(line('restore -S'), NOWHERE)).toThrow('--restore-sibling only makes sense')
    expect(() =>
      restoreOptions(line('restore --inherit-fd fd[1]:tty[1:2] --inherit-fd fd[2]:tty:[1:2]'), NOWHERE),
    ).toThrow('two --inherit-fd')
    expect(() => restoreOptions(line('restore -d --exit-status'), NOWHERE)).toThrow('--exit-status makes no sense')
    expect(() => restoreOptions(line('restore --tty new --orphan-pts-master'), NOWHERE)).toThrow('both say')
  })

  test('of a check', () => {
    expect(
      checkOptions(line('check -verbosity=0 --no-default-config --feature uffd --feature tun --unprivileged')),
    ).toEqual({
      features: ['uffd', 'tun'],
      extra: false,
      experimental: false,
    })
    expect(checkOptions(line('check --all'))).toMatchObject({ extra: true, experimental: true })
  })

  test('sets the level of the log', () => {
    for (const [words, level] of [
      ['', 2],
      ['-v', 3],
      ['-vv', 4],
      ['-vvvv', 4],
      ['-v0', 0],
      ['-v4', 4],
      ['-v -v', 4],
      ['--verbosity=1', 1],
      ['-verbosity=0', 0],
      ['--verbosity', 3],
      ['-v9', 4],
    ] as const)
      expect({ words, level: line(`check ${words}`).verbosity }).toEqual({ words, level })
  })

  test('with the options of the test suite of CRIU', () => {
    const dump =
      'dump --no-default-config --log-file dump.log --images-dir /d --verbosity=4 --tree 7 --timeout 10 --leave-running'
    expect(dumpOptions(line(dump), NOWHERE)).toMatchObject({ pid: 7, timeoutSeconds: 10 })
    const restore =
      'restore --no-default-config --log-file restore.log --images-dir /d --verbosity=4 --pidfile /p --restore-sibling --restore-detached'
    expect(restoreOptions(line(restore), NOWHERE)).toMatchObject({ pidfile: '/p', detached: true })
    line(
      'dump -t 1 --tcp-established --file-locks --link-remap --ghost-limit 1G --no-ghost-fiemap --ext-unix-sk --network-lock nftables',
    )
    line('restore --mntns-compat-mode --no-mntns-compat-mode --manage-cgroups=ignore --tcp-close')
  })

  test('tells all that is refused, by name and with a hint', () => {
    const error = refusal('dump -t 1 --track-mem --page-server --manage-cgroups=full --cpu-cap=none --port 0x12')
    expect(
      render(error)
        .split('\n')
        .filter(each => each.startsWith('Error: ')),
    ).toEqual(
      [
        'Error: the command line cannot be carried out: 4 reasons',
        'Error: invalid argument for --port: 0x12',
        'Error: option --track-mem is not supported yet',
        'Error: option --page-server is not supported yet',
        'Error: option --manage-cgroups full is not supported yet',
      ]
        .concat('Error: option --port 0x12 is not supported yet')
        .with(0, 'Error: the command line cannot be carried out: 5 reasons'),
    )
    for (const finding of error.findings.slice(1)) expect(finding.hint).toBeDefined()
    expect(refusal('dump -t 0x10').what).toBe('invalid argument for -t: 0x10')
    expect(refusal('dump -t 99999999999').what).toBe('invalid argument for -t: 99999999999')
    expect(refusal('dump --file-validation crc').hint).toBe('write one of filesize, buildid')
    expect(refusal('dump --ghost-limit 8Q').what).toBe('invalid argument for --ghost-limit: 8Q')
    expect(refusal('dump -vx').what).toBe('invalid argument for -v: x')
    expect(refusal('dump 123').hint).toBe('did you mean -t 123?')
    expect(refusal('restor').hint).toBe('did you mean restore?')
    expect(refusal('').what).toBe('command is required')
  })

  test('takes what changes nothing with a note, and what belongs elsewhere with a warning', () => {
    const { notes, warnings } = line('restore -t 7 --tcp-established --no-track-mem --track-mem')
    expect(notes).toEqual([
      '--tcp-established changes nothing: only about network namespaces and sockets, and these are refused',
    ])
    expect(warnings).toEqual(['-t has no effect on restore', '--track-mem has no effect on restore'])
  })

  test('needs a pid for a dump', () => {
    expect(() => dumpOptions(line('dump'), NOWHERE)).toThrow('dump needs the pid')
    expect(() => dumpOptions(line('dump -t 0'), NOWHERE)).toThrow('dump needs the pid')
  })
})
