// The command `attach`: shows a terminal that `restore --tty new` has left to its keeper.
import { BardoError } from '../base/errors.ts'
import type { CommandLine } from './parse.ts'

export async function run({ operands }: CommandLine): Promise<number> {
  const [wanted, ...more] = operands
  const { NAME } = await import('../restore/kept-places.ts')
  if (more.length > 0 || (wanted !== undefined && !NAME.test(wanted)))
    throw new BardoError('usage', `attach takes the pid of one restored root, not ${operands.join(' ')}`)
  const { attachTerminal } = await import('../restore/keeper.ts')
  return attachTerminal(wanted)
}
