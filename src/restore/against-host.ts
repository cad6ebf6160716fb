// What of this machine stands against a restore, found before anything is made: ids in use, limits, missing capabilities.
import { BardoError } from '../base/errors.ts'
import { capabilitiesMissing } from '../kinds/task/credentials.ts'
import { findLimitsTooHigh } from '../kinds/task/limits.ts'
import type { Host } from './host.ts'
import { whereOf, type Image, type Task } from './load.ts'
import type { TreePlan } from './sessions.ts'

/** Every reason, in the order of the tasks; ids last, since for those a moment may have to be waited. */
export function findAgainstHost(image: Image, tree: TreePlan, host: Host): BardoError[] {
  const living = image.tasks.filter(task => !task.zombie)
  return [...living.flatMap(task => findAgainst(task, host)), ...findTaken(image, tree, host)]
}

function findAgainst(task: Task, host: Host): BardoError[] {
  const limits = task.cores[0]!.tc!.rlimits?.rlimits ?? []
  const findings = [...findLimitsTooHigh(limits, host.limits, host.maySetLimits, whereOf(task))]
  let missing = 0n
  for (const { thread_core } of task.cores)
    if (thread_core?.creds !== undefined) missing |= capabilitiesMissing(thread_core.creds, host.permitted)
  if (missing !== 0n)
    findings.push(
      new BardoError('not-permitted', 'cannot give a task its capabilities: we do not have them', {
        where: whereOf(task),
        why: `missing: 0x${missing.toString(16)} (see capsh --decode)`,
        hint: 'restore as root with all capabilities',
      }),
    )
  return findings
}

/** The ids of the image, and those of helpers for sessions and groups whose leaders are gone, that somebody has. */
function findTaken(image: Image, tree: TreePlan, host: Host): BardoError[] {
  const helpers = [...tree.deeds.values()].flat().flatMap(deed => (deed.do === 'helper' ? [deed.sid] : []))
  const wanted = [
    ...image.tasks.flatMap(task => task.threads),
    ...tree.groupHelpers.map(({ pgid }) => pgid),
    ...helpers,
  ]
  return host.stillTaken(new Set(wanted.filter(pid => host.pidTaken(pid)))).map(
    pid =>
      new BardoError('refused', `pid ${pid} is in use`, {
        where: `process ${pid} "${host.nameOf(pid)}" has it`,
        hint: 'end it, or restore in a new pid namespace: unshare --pid --fork --mount-proc bardo restore …',
      }),
  )
}
