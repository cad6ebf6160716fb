// The command `restore`.
import { print } from './host.ts'
import { operation } from './operation.ts'
import { restoreOptions, NOWHERE, type CommandLine } from './parse.ts'

export async function run(line: CommandLine, program: string): Promise<number> {
  // A wrong option is told before anything is opened or created.
  const { explain } = restoreOptions(line, NOWHERE)
  const finished = explain
    ? 'The program was printed, and nothing was changed.'
    : 'Restore finished successfully. Tasks resumed.'
  const texts = { failed: 'Restoring FAILED.', finished }
  return await operation(line, program, texts, async (place, tellFinished) => {
    const { restore } = await import('../restore/restore.ts')
    const options = restoreOptions(line, place)
    // The job may run on for days.
    const isRunning = async (): Promise<void> => {
      if (options.displayStats) print((await import('./stats.ts')).statsText('restore', place.workFd))
      tellFinished()
    }
    const answer = await restore(options, isRunning)
    // --explain answers with the program's text, and has changed nothing.
    if (!('text' in answer)) return answer.status
    print(answer.text)
    return 0
  })
}
