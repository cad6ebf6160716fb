// The command `dump`.
import { print } from './host.ts'
import { operation } from './operation.ts'
import { dumpOptions, NOWHERE, type CommandLine } from './parse.ts'

export async function run(line: CommandLine, program: string): Promise<number> {
  // A wrong option is told before anything is opened or created.
  dumpOptions(line, NOWHERE)
  const texts = { failed: 'Dumping FAILED.', finished: 'Dumping finished successfully' }
  return await operation(line, program, texts, async place => {
    const { dump } = await import('../dump/dump.ts')
    const options = dumpOptions(line, place)
    dump(options)
    if (options.displayStats) print((await import('./stats.ts')).statsText('dump', place.workFd))
    return 0
  })
}
