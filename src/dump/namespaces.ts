// Namespaces of the tasks: so far all must be ours.
import { BardoError } from '../base/errors.ts'
import { textOf } from '../base/bytes.ts'
import { perRun } from '../base/run.ts'
import type { task_kobj_ids_entry } from '../image/messages/core.ts'
import { AT_FDCWD } from '../linux/constants.ts'
import { readLink } from '../linux/sys.ts'

/** Names under /proc/PID/ns, and the field and number that our own have in the inventory. */
const KINDS = [
  { name: 'pid', field: 'pid_ns_id', id: 1, flag: '--fork --pid' },
  { name: 'net', field: 'net_ns_id', id: 2, flag: '--net' },
  { name: 'ipc', field: 'ipc_ns_id', id: 3, flag: '--ipc' },
  { name: 'uts', field: 'uts_ns_id', id: 4, flag: '--uts' },
  { name: 'time', field: 'time_ns_id', id: 5, flag: '--time' },
  { name: 'mnt', field: 'mnt_ns_id', id: 6, flag: '--mount' },
  { name: 'user', field: 'user_ns_id', id: 7, flag: '--user' },
  { name: 'cgroup', field: 'cgroup_ns_id', id: 8, flag: '--cgroup' },
] as const

export type NamespaceIds = Pick<task_kobj_ids_entry, (typeof KINDS)[number]['field']>

/** The numbers of our own namespaces, which are those of every task that is dumped. */
export const OWN_NAMESPACES: NamespaceIds = Object.fromEntries(KINDS.map(({ field, id }) => [field, id]))

function linkOf(pid: number | 'self', name: string): string | undefined {
  const link = readLink(AT_FDCWD, `/proc/${pid}/ns/${name}`)
  // A kernel built without a kind of namespace has no link, and all tasks are in the same.
  return typeof link === 'number' ? undefined : textOf(link)
}

/** Our own namespaces: read once, and before any task is stopped. */
export const readOwnNamespaces = perRun<ReadonlyMap<string, string | undefined>>(
  () => new Map(KINDS.map(({ name }) => [name, linkOf('self', name)])),
)

/** The namespaces of a task that are not ours, as findings. */
export function findForeignNamespaces(pid: number, where: string): BardoError[] {
  const ours = readOwnNamespaces()
  return KINDS.filter(({ name }) => linkOf(pid, name) !== ours.get(name)).map(
    ({ name, flag }) =>
      new BardoError('unsupported', `cannot dump a task in its own ${name} namespace yet`, {
        where,
        hint: `run bardo inside it: nsenter --target ${pid} ${flag.replace('--fork ', '')} bardo dump …`,
      }),
  )
}
