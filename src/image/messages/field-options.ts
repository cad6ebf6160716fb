// How CRIU's own schema carries the hints that ours has as `hex`, `flags` and so on. In no image.
import { bool, message, optional, text, type State } from '../words.ts'

export const CRIU_Opts = message('CRIU_Opts', () => ({
  hex: optional(bool(1)),
  ipadd: optional(bool(2)),
  flags: optional(text(3)),
  dev: optional(bool(4)),
  odev: optional(bool(5)),
  dict: optional(text(6)),
  conv: optional(text(7)),
}))
export type CRIU_Opts = State<typeof CRIU_Opts>
