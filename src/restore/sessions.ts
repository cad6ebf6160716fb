// Sessions and process groups of a tree: who must be born before whom, and which helpers stand in for leaders that are gone.
import { BardoError, type Report } from '../base/errors.ts'
import { whereOf, type Task } from './load.ts'

/** Something that has to be done in a task, in the order of the list, while the tree is made. */
export type Deed =
  /** The task clones `child`. */
  | { readonly do: 'clone'; readonly child: Task }
  /** The task becomes the leader of a session of its own. */
  | { readonly do: 'setsid' }
  /** Children whose session has lost its leader: born of a helper with that id, adopted when it ends. */
  | { readonly do: 'helper'; readonly sid: number; readonly children: readonly Task[] }

export type TreePlan = {
  readonly deeds: ReadonlyMap<Task, readonly Deed[]>
  /** Groups whose leader is gone: a member makes a helper with that id, which the others join. */
  readonly groupHelpers: readonly { readonly pgid: number; readonly maker: Task }[]
  /** Group to be joined by each task that is not in it by birth. */
  readonly joins: readonly { readonly task: Task; readonly pgid: number }[]
  /** Sessions of the image that our own stands for (a shell's job). */
  readonly outerSessions: ReadonlySet<number>
}

export function planTree(root: Task, tasks: readonly Task[], shellJob: boolean, report: Report): TreePlan {
  const leaders = new Map(tasks.map(task => [task.pid, task]))
  const leads = (task: Task): boolean => task.sid === task.pid
  const outerSessions = new Set<number>()
  if (!leads(root) && !leaders.has(root.sid)) {
    if (shellJob) outerSessions.add(root.sid)
    else
      report.add(
        new BardoError('usage', 'the session of the tree begins outside of it', {
          where: whereOf(root),
          why: `its session leader was process ${root.sid}`,
          hint: 'restore with --shell-job (-j) from a terminal',
        }),
      )
  }
  const births = bornIn(tasks)
  const deeds = new Map<Task, Deed[]>()
  for (const task of tasks) {
    const list: Deed[] = []
    const late: Deed[] = []
    const helped = new Map<number, Task[]>()
    // The root is born in our session, which is none of the tree's unless it stands for a shell's.
    const born = task === root && !outerSessions.has(births.get(task) ?? 0) ? undefined : births.get(task)
    for (const child of task.children) {
      const wanted = births.get(child)
      if (wanted === undefined || wanted === task.sid) late.push({ do: 'clone', child })
      else if (wanted === born) list.push({ do: 'clone', child })
      else {
        const others = helped.get(wanted)
        if (others === undefined) helped.set(wanted, [child])
        else others.push(child)
      }
    }
    if (leads(task)) list.push({ do: 'setsid' })
    list.push(...late)
    for (const [sid, children] of helped) {
      if (leaders.has(sid) || outerSessions.has(sid)) {
        for (const child of children)
          report.add(
            new BardoError('unsupported', `its session ${sid} is led by a process that is not its forebear`, {
              where: whereOf(child),
              why: 'it was adopted when its parent ended (subreaper)',
            }),
          )
        continue
      }
      list.push({ do: 'helper', sid, children })
    }
    deeds.set(task, list)
  }
  return { deeds, outerSessions, ...planGroups(tasks, leaders, outerSessions, deeds) }
}

/** The group that each task is born in; that of the root is ours. */
function groupsByBirth(tasks: readonly Task[], deeds: ReadonlyMap<Task, readonly Deed[]>): Map<Task, number> {
  const groups = new Map<Task, number>()
  for (const task of tasks) {
    let current = groups.get(task)
    for (const deed of deeds.get(task) ?? []) {
      if (deed.do === 'setsid') current = task.pid
      else if (deed.do === 'helper') for (const child of deed.children) groups.set(child, deed.sid)
      else if (current !== undefined) groups.set(deed.child, current)
    }
  }
  return groups
}

/**
 * The session that each task must be born in; undefined where any will do. A task is born in its parent's session: a
 * leader leaves it later, but its children may have been born before it did.
 */
function bornIn(tasks: readonly Task[]): Map<Task, number | undefined> {
  const births = new Map<Task, number | undefined>()
  // Children come behind their parents in the list, so backwards their births are known.
  for (const task of tasks.toReversed()) {
    if (task.sid !== task.pid) {
      births.set(task, task.sid)
      continue
    }
    const foreign = task.children.map(child => births.get(child)).find(sid => sid !== undefined && sid !== task.pid)
    births.set(task, foreign)
  }
  return births
}

function planGroups(
  tasks: readonly Task[],
  leaders: ReadonlyMap<number, Task>,
  outerSessions: ReadonlySet<number>,
  deeds: ReadonlyMap<Task, readonly Deed[]>,
): Pick<TreePlan, 'groupHelpers' | 'joins'> {
  const groupHelpers = new Map<number, Task>()
  const joins: { task: Task; pgid: number }[] = []
  // Leaders first: a group must be there before others join it.
  const order = tasks.toSorted((a, b) => Number(b.pid === b.pgid) - Number(a.pid === a.pgid))
  const born = groupsByBirth(tasks, deeds)
  for (const task of order) {
    if (task.sid === task.pid) continue // setsid has made it the leader of its group
    if (born.get(task) === task.pgid) continue
    if (task.pgid === task.pid) joins.push({ task, pgid: task.pgid })
    else if (leaders.has(task.pgid)) joins.push({ task, pgid: task.pgid })
    else if (!outerSessions.has(task.sid)) {
      if (!groupHelpers.has(task.pgid)) groupHelpers.set(task.pgid, task)
      joins.push({ task, pgid: task.pgid })
    }
    // A group of a shell's job whose leader is outside: our own group stands for it.
  }
  return { groupHelpers: [...groupHelpers].map(([pgid, maker]) => ({ pgid, maker })), joins }
}
