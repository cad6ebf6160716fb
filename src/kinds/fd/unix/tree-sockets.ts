// Which sockets the tree holds: a connection is whole only if both of its ends are in the dump.
import { textOf } from '../../../base/bytes.ts'
import { AT_FDCWD, EACCES, ENOENT, ESRCH } from '../../../linux/constants.ts'
import { BardoError } from '../../../base/errors.ts'
import { readDirectory, readFile, readLink } from '../../../linux/sys.ts'

const LINK = 'socket:['

/** The processes under `root`, itself included. All are stopped, so that none comes or goes meanwhile. */
function treeOf(root: number): number[] {
  const pids = [root]
  // The list grows while it is walked.
  for (const pid of pids)
    for (const tid of readDirectory(AT_FDCWD, `/proc/${pid}/task`)) {
      const children = readFile(AT_FDCWD, `/proc/${pid}/task/${tid}/children`, [ENOENT, ESRCH])
      if (children !== undefined) pids.push(...textOf(children).split(' ').filter(Boolean).map(Number))
    }
  return pids
}

/** The inode numbers of all sockets that processes under `root` hold a descriptor of. */
export function socketsOfTree(root: number): Set<number> {
  const found = new Set<number>()
  for (const pid of treeOf(root))
    for (const fd of descriptorsOf(pid)) {
      const link = readLink(AT_FDCWD, `/proc/${pid}/fd/${fd}`)
      if (typeof link === 'number') continue
      const text = textOf(link)
      if (text.startsWith(LINK)) found.add(Number(text.slice(LINK.length, -1)))
    }
  return found
}

function descriptorsOf(pid: number): string[] {
  try {
    return readDirectory(AT_FDCWD, `/proc/${pid}/fd`)
  } catch (error) {
    // A zombie has none left.
    if (error instanceof BardoError && [EACCES, ENOENT, ESRCH].includes(error.errno ?? 0)) return []
    throw error
  }
}
