// How the processes of a tree are born: by their parents, by siblings with whom they share descriptors, or by helpers, who
// end when the tree is made and leave what they bore to who had adopted it.
import { CLONE_FILES, CLONE_FS, CLONE_PARENT, ESRCH, PR_SET_CHILD_SUBREAPER } from '../linux/constants.ts'
import { sys } from '../linux/sys.ts'
import type { ProgramBuilder } from '../program/build.ts'
import type { Purpose } from '../program/program.ts'
import type { RestoreBuild } from './build.ts'
import { whereOf, type Task } from './load.ts'
import type { Adoption, Deed } from './sessions.ts'

/** What of `mother` a child has in common with it, not a copy: CLONE_FILES, CLONE_FS. */
const sharedWith = (mother: Task, { ids, zombie }: Task): number =>
  mother.zombie || zombie
    ? 0
    : (ids.files_id === mother.ids.files_id ? CLONE_FILES : 0) | (ids.fs_id === mother.ids.fs_id ? CLONE_FS : 0)

/** The same of a helper, so that those whom it bears can have it. */
const sharedByAny = (mother: Task, children: readonly Task[]): number =>
  children.reduce((flags, child) => flags | sharedWith(mother, child), 0)

/** Ids for helpers: neither of the image, nor in use here. */
export function freePids(tasks: readonly Task[]): () => number {
  const taken = new Set(tasks.flatMap(({ pid, sid, pgid, threads }) => [pid, sid, pgid, ...threads]))
  let last = Math.max(...taken)
  return () => {
    do last = last >= PID_MAX ? PID_MIN : last + 1
    while (taken.has(last) || sys('kill', last, 0) !== -ESRCH)
    return last
  }
}

/** Every kernel has these; those below are for what starts with the machine (RESERVED_PIDS). */
const [PID_MIN, PID_MAX] = [301, 0x7fff]

const purposeOf = (task: Task, what = ''): Purpose => ({
  what: `${what}${what === '' ? '' : ' of '}${whereOf(task)}`,
  phase: 'tasks',
})

export class Births {
  readonly #program: ProgramBuilder
  readonly #build: RestoreBuild
  /** In the order of their own birth. */
  readonly #helpers: { readonly adopter: Task; readonly helper: number; readonly reaper: number }[] = []

  constructor(program: ProgramBuilder, build: RestoreBuild) {
    this.#program = program
    this.#build = build
  }

  /** Says what a task does while the tree is made. */
  bear(task: Task, deeds: readonly Deed[]): void {
    const makers = new Map<number, Task>()
    for (const deed of deeds) {
      if (deed.do === 'setsid') {
        this.#build.task(task.pid, purposeOf(task, 'session')).call('setsid')
        this.#build.sayAsLeader(task.pid)
      } else if (deed.do === 'clone') this.#clone(task, deed.child, task.pid, makers)
      else if (deed.do === 'helper') this.#leadSession(task, deed.sid, deed.adoptions)
      else for (const adoption of deed.adoptions) this.#lend(task, task.pid, adoption)
    }
  }

  /** The last helper first: whoever is below it gets to the nearest subreaper, which is the one that had adopted him. */
  endHelpers(): void {
    for (const { adopter, helper, reaper } of this.#helpers.toReversed()) {
      const purpose = purposeOf(adopter, `helper ${helper}`)
      const say = this.#build.task(adopter.pid, purpose)
      say.call('prctl', PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
      this.#program.end(purpose, helper, 0, reaper)
      say.call('prctl', PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
    }
  }

  /** A child shares descriptors and working directory with its mother, or with a sibling that then makes it. */
  #clone(mother: Task, child: Task, maker: number, makers: Map<number, Task>): void {
    const purpose = purposeOf(child)
    if (child.zombie) {
      this.#program.spawn(purpose, maker, child.pid, { kind: 'child', flags: 0 })
      return
    }
    const files = child.ids.files_id
    const isMothers = (sharedWith(mother, child) & CLONE_FILES) !== 0
    const sibling = isMothers ? undefined : makers.get(files)
    const flags = sharedWith(sibling ?? mother, child) | (sibling === undefined ? 0 : CLONE_PARENT)
    this.#program.spawn(purpose, sibling?.pid ?? maker, child.pid, { kind: 'child', flags })
    if (sibling === undefined && !isMothers) makers.set(files, child)
  }

  /** A session whose leader is gone: a helper leads it, and bears its members. */
  #leadSession(task: Task, sid: number, adoptions: readonly Adoption[]): void {
    const purpose = purposeOf(task, `helper for session ${sid}`)
    const all = adoptions.flatMap(({ children }) => children)
    this.#program.spawn(purpose, task.pid, sid, { kind: 'child', flags: sharedByAny(task, all) })
    this.#build.task(sid, purpose).call('setsid')
    this.#build.sayAsLeader(sid)
    this.#helpers.push({ adopter: task, helper: sid, reaper: task.pid })
    for (const adoption of adoptions) {
      if (adoption.pid === sid) this.#cloneAll(task, adoption)
      else this.#lend(task, sid, adoption)
    }
  }

  /** `maker`, a copy of `mother` or herself, makes a helper in its session, which bears children of others. */
  #lend(mother: Task, maker: number, adoption: Adoption): void {
    const { adopter, pid, children } = adoption
    const flags = sharedByAny(mother, children)
    this.#program.spawn(purposeOf(adopter, 'helper'), maker, pid, { kind: 'child', flags })
    this.#helpers.push({ adopter, helper: pid, reaper: maker })
    this.#cloneAll(mother, adoption)
  }

  #cloneAll(mother: Task, { children, pid }: Adoption): void {
    const makers = new Map<number, Task>()
    for (const child of children) this.#clone(mother, child, pid, makers)
  }
}
