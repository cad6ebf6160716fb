// The tree of tasks: pstree.img.
import { message, repeated, u32, type State } from '../words.ts'

/** One task; a parent comes before its children. All numbers are pids inside the pid namespace. */
export const pstree_entry = message('pstree_entry', () => ({
  pid: u32(1),
  ppid: u32(2),
  pgid: u32(3),
  sid: u32(4),
  threads: repeated(u32(5)), // All threads, the leader first.
}))
export type pstree_entry = State<typeof pstree_entry>
