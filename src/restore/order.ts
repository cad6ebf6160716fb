// The phases of a restore, in their order, each with the reason why it is not earlier.
import type { Phase } from '../program/program.ts'

const ORDER: readonly (readonly [Phase, string])[] = [
  ['files', 'first: what cannot be opened is found before any process exists'],
  ['tasks', 'memory of a parent before its children, which share its pages; sessions between them, by birth'],
  ['groups', 'a group is joined when its leader and all members exist'],
  ['zombies', 'a zombie has been in its group; it ends while its parent cannot yet be told by a handler'],
  ['terminals', 'a controlling terminal is taken by the leader of a session, and shown a group that exists'],
  ['descriptors', 'the table is empty until here, so that files land where they belong'],
  ['memory', 'protection comes when all is written and every child has been cloned'],
  ['threads', 'threads share the memory and the table that are in place now'],
  ['signals', 'actions and stacks are per thread and process; nothing is delivered while all is blocked'],
  ['seccomp', 'a filter needs privileges; it is suspended while the task is traced'],
  ['credentials', 'what needed privileges is done'],
  ['pending', 'queued when no later step could deliver or drop it'],
  ['timers', "the time that a restore takes is not the program's"],
  ['limits', 'a limit must not bind the restore itself; lowering needs no privilege'],
  ['go', 'registers, and away'],
]

export const PHASES: readonly Phase[] = ORDER.map(([phase]) => phase)
export const reasonFor = (phase: Phase): string => ORDER.find(([name]) => name === phase)![1]
