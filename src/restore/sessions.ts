// Sessions and process groups of a tree: who must be born before whom, and which helpers stand in for leaders that are gone.
import { BardoError, type Report } from '../base/errors.ts'
import { whereOf, type Task } from './load.ts'

/** Something that has to be done in a task, in the order of the list, while the tree is made. */
export type Deed =
  /** The task clones `child`. */
  | { readonly do: 'clone'; readonly child: Task }
  /** The task becomes the leader of a session of its own. */
  | { readonly do: 'setsid' }
  /** Children whose session has lost its leader: a helper with that id leads it, and bears them. */
  | { readonly do: 'helper'; readonly sid: number; readonly adoptions: readonly Adoption[] }
  /** A helper of the task's session bears children for others. */
  | { readonly do: 'lend'; readonly adoptions: readonly Adoption[] }

/**
 * Children that a process has got because theirs ended: the kernel gives them to the nearest forebear that is a
 * subreaper, which `adopter` is for a moment. `pid` is of the helper that bears them; all helpers end when the tree is
 * made, the last one first, so that until then everybody is below those who bore him.
 */
export type Adoption = { readonly adopter: Task; readonly children: readonly Task[]; readonly pid: number }

export type TreePlan = {
  readonly deeds: ReadonlyMap<Task, readonly Deed[]>
  /** The task whose copy each one is when it is born, where that is not its parent. */
  readonly mothers: ReadonlyMap<Task, Task>
  /** Groups whose leader is gone: a member makes a helper with that id, which the others join. */
  readonly groupHelpers: readonly { readonly pgid: number; readonly maker: Task }[]
  /** Group to be joined by each task that is not in it by birth. */
  readonly joins: readonly { readonly task: Task; readonly pgid: number }[]
  /** Sessions of the image that our own stands for (a shell's job). */
  readonly outerSessions: ReadonlySet<number>
}

/** `freePid` gives ids that nobody has, here or in the image. */
export function planTree(
  root: Task,
  tasks: readonly Task[],
  shellJob: boolean,
  report: Report,
  freePid: () => number,
): TreePlan {
  const leaders = new Map(tasks.map(task => [task.pid, task]))
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
  const births = bornIn(tasks, leaders)
  // The root is born in our session, which is none of the tree's unless it stands for a shell's.
  const bornOf = (task: Task): number | undefined =>
    task === root && !outerSessions.has(births.get(task) ?? 0) ? undefined : births.get(task)
  const family = new Family(leaders, bornOf, freePid)
  const early = new Map<Task, Task[]>()
  const late = new Map<Task, Task[]>()
  for (const child of tasks) {
    const { parent } = child
    if (parent === undefined) continue
    const wanted = births.get(child)
    const isLate = wanted === undefined || wanted === parent.sid
    if (isLate) add(late, parent, child)
    else if (wanted === bornOf(parent)) add(early, parent, child)
    else if (!outerSessions.has(wanted)) family.adopt(child, wanted)
  }
  family.settle()
  const deeds = new Map<Task, Deed[]>()
  for (const task of tasks) {
    const clones = (children: readonly Task[] = []): Deed[] =>
      children.filter(child => !family.mothers.has(child)).map(child => ({ do: 'clone', child }))
    deeds.set(task, [
      ...clones(early.get(task)),
      ...(family.early.get(task) ?? []),
      ...(leads(task) ? [{ do: 'setsid' } as const] : []),
      ...clones(late.get(task)),
      ...(family.deeds.get(task) ?? []),
    ])
  }
  const made = madeBy(root, deeds)
  for (const task of tasks)
    if (!made.has(task) && (task.parent === undefined || made.has(task.parent)))
      report.add(
        new BardoError('unsupported', `its session ${births.get(task) ?? task.sid} cannot be made again`, {
          where: whereOf(task),
          why: 'it was adopted when its parent ended (subreaper), in a way that cannot have been',
        }),
      )
  return { deeds, mothers: family.mothers, outerSessions, ...planGroups(tasks, leaders, outerSessions, deeds) }
}

const leads = (task: Task): boolean => task.sid === task.pid

function add<K, V>(to: Map<K, V[]>, key: K, value: V): void {
  const known = to.get(key)
  if (known === undefined) to.set(key, [value])
  else known.push(value)
}

/** Who is made, when all do what is said of them. */
function madeBy(root: Task, deeds: ReadonlyMap<Task, readonly Deed[]>): ReadonlySet<Task> {
  const made = new Set([root])
  for (const task of made)
    for (const deed of deeds.get(task) ?? []) for (const child of childrenOf(deed)) made.add(child)
  return made
}

/** The tasks that a deed makes. */
export function childrenOf(deed: Deed): readonly Task[] {
  if (deed.do === 'clone') return [deed.child]
  return 'adoptions' in deed ? deed.adoptions.flatMap(({ children }) => children) : []
}

/** Children that their parents cannot have borne, since these were never in the session. */
class Family {
  readonly #leaders: ReadonlyMap<number, Task>
  readonly #bornOf: (task: Task) => number | undefined
  readonly #freePid: () => number
  /** By the session that they are born in. */
  readonly #adopted = new Map<number, Task[]>()
  readonly mothers = new Map<Task, Task>()
  readonly deeds = new Map<Task, Deed[]>()
  /** What is done before a leader leaves the session that it was born in. */
  readonly early = new Map<Task, Deed[]>()

  constructor(leaders: ReadonlyMap<number, Task>, bornOf: (task: Task) => number | undefined, freePid: () => number) {
    this.#leaders = leaders
    this.#bornOf = bornOf
    this.#freePid = freePid
  }

  adopt(child: Task, sid: number): void {
    add(this.#adopted, sid, child)
  }

  /** Finds who bears them. What has no way is not said, and found by that. */
  settle(): void {
    // Where one is borne decides who is above those that come from him, so it is tried again as long as that helps.
    for (let before = -1; before !== this.#adopted.size;) {
      before = this.#adopted.size
      for (const [sid, children] of this.#adopted) if (this.#settleOne(sid, children)) this.#adopted.delete(sid)
    }
  }

  #settleOne(sid: number, children: readonly Task[]): boolean {
    const adopters = [...new Set(children.map(({ parent }) => parent!))]
    const leader = this.#leaders.get(sid)
    const deepest = adopters.reduce((one, other) => this.#lower(one, other) ?? one)
    const reachesAll = (from: Task): boolean => adopters.every(one => one === from || this.#isAbove(one, from))
    if (leader === undefined) {
      if (!reachesAll(deepest)) return false
      this.#say(this.deeds, deepest, { do: 'helper', sid, adoptions: this.#adoptions(children, deepest, sid) })
      return true
    }
    if (!reachesAll(leader) && !(reachesAll(deepest) && this.#bearBelow(leader, deepest))) return false
    this.#say(this.deeds, leader, { do: 'lend', adoptions: this.#adoptions(children) })
    return true
  }

  /** Of two who have members of one session, the one below the other: each was below some of their forebears once. */
  #lower(one: Task, other: Task): Task | undefined {
    if (one === other || this.#isAbove(other, one)) return one
    if (this.#isAbove(one, other)) return other
    for (const [above, below] of [
      [one, other],
      [other, one],
    ] as const)
      for (let moved: Task | undefined = below; moved?.parent !== undefined; moved = moved.parent)
        if (this.#isAbove(moved.parent, above)) {
          if (this.#bearBelow(moved, above)) return below
          break
        }
    return undefined
  }

  /** Has a task borne below another one than its parent, who is further up: it has been adopted. */
  #bearBelow(task: Task, above: Task): boolean {
    const { parent } = task
    const birth = this.#bornOf(task)
    if (parent === undefined || this.mothers.has(task) || !this.#isAbove(parent, above)) return false
    const isLate = birth === undefined || birth === above.sid
    if (!isLate && birth !== this.#bornOf(above)) return false
    this.#say(isLate ? this.deeds : this.early, above, { do: 'lend', adoptions: this.#adoptions([task]) })
    return true
  }

  /** Whether `above` is a forebear of `task` while the tree is made. */
  #isAbove(above: Task, task: Task): boolean {
    const seen = new Set<Task>()
    const up = (one: Task): Task | undefined => this.mothers.get(one) ?? one.parent
    for (let one = up(task); one !== undefined && !seen.has(one); one = up(one)) {
      if (one === above) return true
      seen.add(one)
    }
    return false
  }

  /** What is `own`'s is borne by the helper `pid` itself, and all else by helpers below it. */
  #adoptions(children: readonly Task[], own?: Task, pid = 0): Adoption[] {
    const byAdopter = new Map<Task, Task[]>()
    for (const child of children) add(byAdopter, child.parent!, child)
    return [...byAdopter].map(([adopter, all]) => ({
      adopter,
      children: all,
      pid: adopter === own ? pid : this.#freePid(),
    }))
  }

  #say(deeds: Map<Task, Deed[]>, task: Task, deed: Deed): void {
    add(deeds, task, deed)
    for (const child of childrenOf(deed)) this.mothers.set(child, task)
  }
}

/** Whether `above` is a forebear of `task`. */
function isAbove(above: Task, task: Task): boolean {
  for (let one = task.parent; one !== undefined; one = one.parent) if (one === above) return true
  return false
}

/** The group that each task is born in; that of the root is ours. */
function groupsByBirth(root: Task, deeds: ReadonlyMap<Task, readonly Deed[]>): Map<Task, number> {
  const groups = new Map<Task, number>()
  // In the order in which they are born.
  for (const task of madeBy(root, deeds)) {
    let current = groups.get(task)
    for (const deed of deeds.get(task) ?? []) {
      if (deed.do === 'setsid') current = task.pid
      else
        for (const child of childrenOf(deed)) {
          const group = deed.do === 'helper' ? deed.sid : current
          if (group !== undefined) groups.set(child, group)
        }
    }
  }
  return groups
}

/**
 * The session that each task must be born in; undefined where any will do. A task is born in its parent's session: a
 * leader leaves it later, but its children may have been born before it did.
 */
function bornIn(tasks: readonly Task[], leaders: ReadonlyMap<number, Task>): Map<Task, number | undefined> {
  const births = new Map<Task, number | undefined>()
  // Children come behind their parents in the list, so backwards their births are known.
  for (const task of tasks.toReversed()) {
    if (task.sid !== task.pid) {
      births.set(task, task.sid)
      continue
    }
    const foreign = task.children
      .map(child => births.get(child))
      .find(sid => {
        if (sid === undefined || sid === task.pid) return false
        // A session that began below it is not one that it was born in: that child was adopted.
        const leader = leaders.get(sid)
        return leader === undefined || !isAbove(task, leader)
      })
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
  const born = groupsByBirth(tasks[0]!, deeds)
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
