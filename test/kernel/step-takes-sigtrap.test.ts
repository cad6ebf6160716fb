import { prove } from './prove.ts'

prove(import.meta.path, 'a single step takes SIGTRAP away from a task that ignores or blocks it, and from no other')
