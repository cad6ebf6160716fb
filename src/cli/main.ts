// The entry. What starts here is the frozen time of our users: modules are loaded by the commands that need them.
import { asBardoError, BardoError, render } from '../base/errors.ts'
import { environment } from '../base/run.ts'
import { exit, print, STDERR, write } from './host.ts'
import type { CommandLine } from './parse.ts'

/** `criu` when called by that name (a link or a copy), else `bardo`. */
const programOf = (called: string): string => (called.slice(called.lastIndexOf('/') + 1) === 'criu' ? 'criu' : 'bardo')

/** The words after the program's name. The runtime decodes them as UTF-8, so names with other bytes are read again. */
async function commandWords(): Promise<string[]> {
  const words = Bun.argv.slice(2)
  if (words.every(word => !word.includes('\ufffd'))) return words
  const [{ readFile }, { textOf }] = await Promise.all([import('../linux/sys.ts'), import('../base/bytes.ts')])
  const all = textOf(readFile(-1, '/proc/self/cmdline')!).split('\0').slice(0, -1)
  return all.slice(all.length - words.length)
}

async function perform(line: CommandLine, program: string): Promise<number> {
  switch (line.command) {
    case 'dump':
      return await (await import('./dump.ts')).run(line, program)
    case 'restore':
      return await (await import('./restore.ts')).run(line, program)
    case 'check':
      return await (await import('./check.ts')).run(line)
    case 'attach':
      if (program === 'criu') throw new BardoError('usage', 'unknown command: attach', { hint: 'call it as bardo' })
      return await (await import('./attach.ts')).run(line)
    case 'exec':
    case 'show':
      throw new BardoError('usage', `the command ${line.command} is gone from CRIU`, {
        hint: line.command === 'show' ? 'use crit decode -i FILE --pretty' : 'see compel(1)',
      })
    default:
      throw new BardoError('unsupported', `the command ${line.command} is not supported yet`, {
        hint: 'dump, restore, check and attach are',
      })
  }
}

async function main(program: string, words: readonly string[]): Promise<number> {
  if (words.length === 0) {
    write(STDERR, (await import('./help.ts')).usage(program))
    return 1
  }
  // What `restore --tty new` leaves behind, called by itself only.
  if (words[0] === '--keep-terminal') return (await import('../restore/keeper.ts')).keepTerminal(words[1] ?? '')
  const { commandLine, scan } = await import('./parse.ts')
  const { found, operands } = scan(words, environment()['POSIXLY_CORRECT'] !== undefined)
  const asked = found.find(({ spec }) => spec.long === 'help' || spec.long === 'version')?.spec.long
  if (asked !== undefined) {
    const texts = await import('./help.ts')
    print(asked === 'help' ? texts.help(program) : texts.version(program))
    return 0
  }
  const { configSources } = await import('./config.ts')
  const { sources, warnings } = configSources(found, environment())
  if (environment()['CRIU_FAULT'] !== undefined)
    warnings.push('CRIU_FAULT is set, and changes nothing: it is about the insides of CRIU')
  const line = commandLine(found, operands, sources)
  return await perform({ ...line, warnings: [...warnings, ...line.warnings] }, program)
}

function fail(program: string, thrown: unknown): number {
  const error = asBardoError(thrown)
  write(STDERR, `${render(error)}\n`)
  if (error.code === 'usage') write(STDERR, `Try ${program} --help for more info\n`)
  return 1
}

async function run(program: string, words: readonly string[]): Promise<number> {
  try {
    return await main(program, words)
  } catch (thrown) {
    return fail(program, thrown)
  }
}

async function start(): Promise<number> {
  const words = await commandWords()
  if (words[0] !== '--freeze') return await run(programOf(environment()['BARDO_ARGV0'] ?? process.argv0), words)
  const { freeze } = await import('./freeze.ts')
  const called = await freeze(tried => run('bardo', tried))
  return await run(programOf(called.name), called.words)
}

void start().then(exit)
