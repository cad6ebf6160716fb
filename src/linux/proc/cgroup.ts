// /proc/PID/cgroup: the cgroup of a task in each hierarchy (man 7 cgroups; proc_cgroup_show in kernel/cgroup/cgroup.c).
import { Cursor } from './cursor.ts'

const [NEWLINE, COLON, COMMA] = [0x0a, 0x3a, 0x2c]
const DELETED = ' (deleted)'

export type CgroupMembership = {
  /** The hierarchy; 0 is cgroup v2. */
  id: number
  /** `cpu`, `memory`, ... and `name=systemd` for a named hierarchy; none for cgroup v2. */
  controllers: string[]
  /** Relative to the root of the reader's cgroup namespace; `/../…` is outside of it. */
  path: string
  /** The cgroup was removed (the task is a zombie); ` (deleted)` stays in the path. */
  deleted: boolean
}

/** Throws a BardoError `bug` on anything that is not a cgroup file. */
export function parseCgroup(bytes: Uint8Array): CgroupMembership[] {
  const cursor = new Cursor(bytes, 'cgroup')
  const memberships: CgroupMembership[] = []
  while (!cursor.atEnd) {
    const end = cursor.lineEnd()
    const id = cursor.decimal()
    cursor.expect(COLON)
    const colon = cursor.find(COLON, end)
    const controllers: string[] = []
    while (cursor.at < colon) {
      const comma = cursor.find(COMMA, colon)
      controllers.push(cursor.text(comma))
      if (comma < colon) cursor.at++
    }
    cursor.expect(COLON)
    // A path may hold colons: it is all the rest. It holds no newline, which mkdir refuses in cgroup file systems.
    const path = cursor.text(end)
    cursor.expect(NEWLINE)
    memberships.push({ id, controllers, path, deleted: path.endsWith(DELETED) })
  }
  return memberships
}
