// What kinds and recipe say is gathered here as a program.
import { BardoError, type Report } from '../base/errors.ts'
import { externalKey, type External, type Inherited, type RestoreOptions } from '../base/options.ts'
import type { ImageDirectory } from '../image/directory.ts'
import type { Build, Maker, TaskBuild } from '../kinds/kind.ts'
import { F_DUPFD_CLOEXEC, O_CLOEXEC, PAGE_SIZE } from '../linux/constants.ts'
import type { CallName } from '../linux/nr.ts'
import type { ProgramBuilder } from '../program/build.ts'
import {
  HOST,
  type Actor,
  type Argument,
  type Memory,
  type Phase,
  type Purpose,
  type Slot,
} from '../program/program.ts'
import type { FilePlan } from './files.ts'
import { readPagemap, toRun } from './load.ts'

/** A task's own calls, for one purpose. Files that it borrows are closed when `done` is called. */
export class TaskSayer implements TaskBuild {
  readonly #builder: ProgramBuilder
  readonly #actor: Actor
  readonly #purpose: Purpose
  readonly #borrowed: Slot<'fd'>[] = []

  constructor(builder: ProgramBuilder, actor: Actor, purpose: Purpose) {
    this.#builder = builder
    this.#actor = actor
    this.#purpose = purpose
  }

  call(name: CallName, ...args: Argument[]): Slot<'value'> {
    return this.#builder.call(this.#purpose, this.#actor, 'value', [], name, args)
  }

  attempt(accept: readonly number[], name: CallName, ...args: Argument[]): Slot<'value'> {
    return this.#builder.call(this.#purpose, this.#actor, 'value', accept, name, args)
  }

  open(name: CallName, ...args: Argument[]): Slot<'fd'> {
    return this.#builder.call(this.#purpose, this.#actor, 'fd', [], name, args)
  }

  memory(content: Uint8Array | number, pointers: Memory['pointers'] = []): Memory {
    return this.#builder.memory(this.#actor, content, [], pointers)
  }

  borrow(file: Slot<'fd'>): Slot<'fd'> {
    const [lent] = this.#builder.lend(this.#purpose, this.#actor as number, [file])
    this.#borrowed.push(lent!)
    return lent!
  }

  /** Gives back what was borrowed. */
  done(): void {
    for (const file of this.#borrowed) this.call('close', file)
    this.#borrowed.length = 0
  }
}

type SharedBuild = {
  /** Objects made once, by their maker's name and key. */
  readonly made: Map<string, unknown>
  /** Those that are being made: one that comes again needs itself. */
  readonly making: string[]
  /** What leaders of sessions have been told to do. */
  readonly leaders: Map<number, { readonly what: string; readonly say: (at: TaskBuild) => void }[]>
}

export class RestoreBuild implements Build {
  readonly images: ImageDirectory
  readonly options: RestoreOptions
  readonly program: ProgramBuilder
  readonly #files: FilePlan
  readonly #report: Report
  readonly #pids: ReadonlySet<number>
  readonly #purpose: Purpose
  /** What is shared by all builds of one restore. */
  readonly #shared: SharedBuild

  constructor(
    parts: {
      images: ImageDirectory
      options: RestoreOptions
      program: ProgramBuilder
      files: FilePlan
      report: Report
      pids: ReadonlySet<number>
    },
    purpose: Purpose,
    shared: SharedBuild = { made: new Map(), making: [], leaders: new Map() },
  ) {
    this.images = parts.images
    this.options = parts.options
    this.program = parts.program
    this.#files = parts.files
    this.#report = parts.report
    this.#pids = parts.pids
    this.#purpose = purpose
    this.#shared = shared
  }

  /** The same build, saying for another purpose. */
  as(purpose: Purpose): RestoreBuild {
    return new RestoreBuild(
      {
        images: this.images,
        options: this.options,
        program: this.program,
        files: this.#files,
        report: this.#report,
        pids: this.#pids,
      },
      purpose,
      this.#shared,
    )
  }

  call(name: CallName, ...args: Argument[]): Slot<'value'> {
    return this.program.call(this.#purpose, HOST, 'value', [], name, args)
  }

  attempt(accept: readonly number[], name: CallName, ...args: Argument[]): Slot<'value'> {
    return this.program.call(this.#purpose, HOST, 'value', accept, name, args)
  }

  open(name: CallName, ...args: Argument[]): Slot<'fd'> {
    return this.program.call(this.#purpose, HOST, 'fd', [], name, args)
  }

  loadFile(memory: Memory, offset: number): Slot<'fd'> {
    return this.program.load(this.#purpose, memory, offset)
  }

  memory(content: Uint8Array | number, holds: { offset: number; slot: Slot }[] = []): Memory {
    return this.program.memory(HOST, content, holds)
  }

  get<K extends string | number, V>(maker: Maker<K, V>, key: K): V {
    const name = `${maker.name} ${key}`
    if (this.#shared.made.has(name)) return this.#shared.made.get(name) as V
    if (this.#shared.making.includes(name))
      throw new RangeError(`objects need each other: ${[...this.#shared.making, name].join(' -> ')}`)
    this.#shared.making.push(name)
    try {
      const value = maker.make(key, this.as({ what: name, phase: this.#purpose.phase }))
      this.#shared.made.set(name, value)
      return value
    } finally {
      this.#shared.making.pop()
    }
  }

  get inheritedAll(): readonly Inherited[] {
    return this.options.inherited
  }

  inherited(external: External): Slot<'fd'> | undefined {
    const key = externalKey(external)
    const found = this.options.inherited.find(one => one.key === key)
    if (found?.fd === undefined) return undefined
    const { fd } = found
    return this.get(
      { name: `descriptor ${fd} of ours for`, make: (_, at) => at.open('fcntl', fd, F_DUPFD_CLOEXEC, 0) },
      key,
    )
  }

  fileState(id: number): { readonly type: string; readonly state: unknown } | undefined {
    return this.#files.fileState(id)
  }

  file(id: number): Slot<'fd'> {
    return this.#files.make(id, this.as({ what: this.#files.placeOf(id), phase: this.#purpose.phase }))
  }

  beside(id: number, fd: number): number | undefined {
    return this.#files.beside(id, fd)
  }

  withNumbers(id: number, files: readonly { file: Slot<'fd'>; number: number }[], say: (at: TaskBuild) => void): void {
    const pid = this.#files.holder(id)
    if (pid === undefined) throw new BardoError('bad-image', `no process has file ${id} as a descriptor`)
    // Said before the tables are given: those of all tasks are empty then.
    const purpose = { what: this.#purpose.what, phase: 'descriptors' } as const
    this.program.pass(
      purpose,
      pid,
      files.map(({ file, number }) => ({ file, number, cloexec: false })),
    )
    const sayer = this.task(pid, purpose)
    say(sayer)
    sayer.done()
    for (const { number } of files) sayer.call('close', number)
  }

  sharedMemory(bytes: number): Slot<'fd'> {
    const result = this.program.slot('fd', HOST)
    this.program.host(this.#purpose, { name: 'shared_memory', bytes, result })
    return result
  }

  fillMemory(file: Slot<'fd'>, shmid: number | bigint, bytes: number): void {
    const id = Number(shmid)
    // Nothing is saved of what is empty.
    if (bytes === 0 && !this.images.has('SHMEM_PAGEMAP', id)) return
    const size = Math.ceil(bytes / PAGE_SIZE) * PAGE_SIZE
    const { pagesId, runs } = readPagemap(this.images, 'SHMEM_PAGEMAP', id, `shared memory ${id}`, size)
    if (runs.length > 0)
      this.program.host(this.#purpose, {
        name: 'copy',
        from: this.pages(pagesId),
        to: file,
        runs: runs.map(toRun),
      })
  }

  /** The open file of pages-`id`.img, in the program. */
  pages(id: number): Slot<'fd'> {
    const make = (of: number): Slot<'fd'> =>
      this.as({ what: `pages-${of}.img`, phase: 'files' }).open(
        'openat',
        this.images.fd,
        `pages-${of}.img`,
        O_CLOEXEC,
        0,
      )
    return this.get({ name: 'pages', make }, id)
  }

  /** A file of the images opened for a mapping or as a program. */
  mapped(id: number, flags: number): Slot<'fd'> {
    return this.#files.mapped(id, flags, this.as({ what: this.#files.placeOf(id), phase: 'files' }))
  }

  later(phase: Phase, say: (at: Build) => void): void {
    say(this.as({ what: this.#purpose.what, phase }))
  }

  inTask(pid: number, phase: Phase, say: (at: TaskBuild) => void): void {
    const sayer = this.task(pid, { what: this.#purpose.what, phase })
    say(sayer)
    sayer.done()
  }

  asLeader(sid: number, say: (at: TaskBuild) => void): void {
    const known = this.#shared.leaders.get(sid)
    const said = { what: this.#purpose.what, say }
    if (known === undefined) this.#shared.leaders.set(sid, [said])
    else known.push(said)
  }

  /** Says what was left for the leader of session `sid`, which it has just become; the sessions said of are forgotten. */
  sayAsLeader(sid: number): void {
    for (const { what, say } of this.#shared.leaders.get(sid) ?? []) {
      const sayer = this.task(sid, { what, phase: 'tasks' })
      say(sayer)
      sayer.done()
    }
    this.#shared.leaders.delete(sid)
  }

  openInTask(pid: number, phase: Phase, name: CallName, ...args: Argument[]): Slot<'fd'> {
    const purpose = { what: this.#purpose.what, phase }
    const say = this.task(pid, purpose)
    const file = say.open(name, ...args)
    const result = this.program.slot('fd', HOST)
    this.program.host(purpose, { name: 'take', task: pid, file, result })
    say.call('close', file)
    return result
  }

  /** The sayer of a task's own calls. */
  task(actor: number, purpose: Purpose): TaskSayer {
    return new TaskSayer(this.program, actor, purpose)
  }

  hasTask(pid: number): boolean {
    return this.#pids.has(pid)
  }

  refuse(finding: BardoError): void {
    this.#report.add(finding)
  }
}
