import { prove } from './prove.ts'

prove(
  import.meta.path,
  "a task made with CLONE_PTRACE is its maker's tracer's, with its options, and stops before its first instruction",
)
