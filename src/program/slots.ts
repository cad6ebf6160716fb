// Which slots a step makes and uses.
import { isSlot, type Argument, type Slot, type Step } from './program.ts'

/** Every slot that a step makes or uses. */
export function slotsOf(step: Step): Slot[] {
  const ofArgument = (argument: Argument): Slot[] => {
    if (typeof argument !== 'object') return []
    if (isSlot(argument)) return [argument]
    if (argument.kind === 'fd-path') return [argument.of]
    return [...argument.holds.map(({ slot }) => slot), ...argument.pointers.flatMap(({ memory }) => ofArgument(memory))]
  }
  switch (step.do) {
    case 'call':
      return [step.result, ...step.args.flatMap(ofArgument)]
    case 'load':
      return [step.result]
    case 'fill':
      return [step.file]
    case 'pass':
      return step.files.flatMap(({ file, result }) => (result === undefined ? [file] : [file, result]))
    case 'spawn':
    case 'end':
      return []
    case 'host':
      if (step.act.name === 'shared_memory') return [step.act.result]
      if (step.act.name === 'take') return [step.act.file, step.act.result]
      return step.act.name === 'copy' ? [step.act.from, step.act.to] : []
  }
}
