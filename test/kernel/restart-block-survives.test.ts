import { prove } from './prove.ts'

prove(import.meta.path, 'the restart block survives other calls, and not rt_sigreturn')
