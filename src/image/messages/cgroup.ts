// Control groups: which sets of them tasks are in, and what those looked like.
import { bool, inner, message, optional, repeated, self, text, u32, type State } from '../words.ts'

export const cg_member_entry = message('cg_member_entry', () => ({
  name: text(1), // The controllers, or `name=…`.
  path: text(2),
  cgns_prefix: optional(u32(3)), // How many bytes of the path the cgroup namespace hides.
}))
export type cg_member_entry = State<typeof cg_member_entry>

/** A place in every hierarchy; tasks name one by its id. */
export const cg_set_entry = message('cg_set_entry', () => ({
  id: u32(1), // What core images name it by.
  ctls: repeated(inner(2, cg_member_entry)),
}))
export type cg_set_entry = State<typeof cg_set_entry>

export const cgroup_perms = message('cgroup_perms', () => ({ mode: u32(1), uid: u32(2), gid: u32(3) }))
export type cgroup_perms = State<typeof cgroup_perms>

export const cgroup_prop_entry = message('cgroup_prop_entry', () => ({
  name: text(1),
  value: text(2),
  perms: optional(inner(3, cgroup_perms)),
}))
export type cgroup_prop_entry = State<typeof cgroup_prop_entry>

/** A directory, with those in it. */
export const cgroup_dir_entry = message('cgroup_dir_entry', () => ({
  dir_name: text(1),
  children: repeated(self(2)),
  properties: repeated(inner(3, cgroup_prop_entry)),
  dir_perms: optional(inner(4, cgroup_perms)),
}))
export type cgroup_dir_entry = State<typeof cgroup_dir_entry>

/** A hierarchy: the controllers mounted together, and its directories. */
export const cg_controller_entry = message('cg_controller_entry', () => ({
  cnames: repeated(text(1)),
  dirs: repeated(inner(2, cgroup_dir_entry)),
  is_threaded: optional(bool(3)), // A hierarchy that single threads can be moved in.
}))
export type cg_controller_entry = State<typeof cg_controller_entry>

/** cgroup.img: the sets, and the directories that they are in. */
export const cgroup_entry = message('cgroup_entry', () => ({
  sets: repeated(inner(1, cg_set_entry)),
  controllers: repeated(inner(2, cg_controller_entry)),
}))
export type cgroup_entry = State<typeof cgroup_entry>
