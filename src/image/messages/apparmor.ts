// AppArmor policies of the tasks, with their namespaces.
import { bytes, inner, message, repeated, self, text, type State } from '../words.ts'

export const aa_policy = message('aa_policy', () => ({ name: text(1), blob: bytes(2) }))
export type aa_policy = State<typeof aa_policy>

/** A policy namespace, with those in it. */
export const aa_namespace = message('aa_namespace', () => ({
  name: text(1),
  policies: repeated(inner(2, aa_policy)),
  namespaces: repeated(self(3)),
}))
export type aa_namespace = State<typeof aa_namespace>

export const apparmor_entry = message('apparmor_entry', () => ({ namespaces: repeated(inner(1, aa_namespace)) }))
export type apparmor_entry = State<typeof apparmor_entry>
