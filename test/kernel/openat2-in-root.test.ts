import { prove } from './prove.ts'

prove(import.meta.path, 'RESOLVE_IN_ROOT opens what a task sees under its own root')
