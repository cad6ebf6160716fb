// What an image directory says of itself: inventory.img, written last, and the words of CRIU's image streamer.
import { bool, choice, enumeration, inner, message, optional, repeated, text, u32, u64, type State } from '../words.ts'
import { task_kobj_ids_entry } from './core.ts'

export const lsmtype = enumeration('lsmtype', { NO_LSM: 0, SELINUX: 1, APPARMOR: 2 })

/** A list of its own message, so that an empty one differs from none. */
export const plugins_entry = message('plugins_entry', () => ({ plugins: repeated(text(12)) }))
export type plugins_entry = State<typeof plugins_entry>

/** The mark of a whole image: without it there is nothing to restore. */
export const inventory_entry = message('inventory_entry', () => ({
  img_version: u32(1), // 2: common magics in front of each file.
  fdinfo_per_id: optional(bool(2)), // fdinfo files are named by files_id, not by pid.
  // Namespaces of the dumper: a task in the same ones is restored in those of the restorer.
  root_ids: optional(inner(3, task_kobj_ids_entry)),
  ns_per_id: optional(bool(4)), // Files of namespaces are named by their id, not by pid.
  root_cg_set: optional(u32(5)), // The set that the dumper was in.
  lsmtype: optional(choice(6, lsmtype)),
  dump_uptime: optional(u64(8)), // Microseconds since boot when the dump began; tells pid reuse in later dumps.
  pre_dump_mode: optional(u32(9)), // A criu_pre_dump_mode.
  tcp_close: optional(bool(10)),
  network_lock_method: optional(u32(11)), // A criu_network_lock_method, or 0.
  plugins_entry: optional(inner(12, plugins_entry)),
  dump_criu_run_id: optional(text(13)), // A UUID; firewall rules that hold connections back are named after it.
  allow_uprobes: optional(bool(14)),
}))
export type inventory_entry = State<typeof inventory_entry>

/** Asks the streamer for a file, or announces one. */
export const img_streamer_request_entry = message('img_streamer_request_entry', () => ({ filename: text(1) }))
export type img_streamer_request_entry = State<typeof img_streamer_request_entry>

export const img_streamer_reply_entry = message('img_streamer_reply_entry', () => ({ exists: bool(1) }))
export type img_streamer_reply_entry = State<typeof img_streamer_reply_entry>
