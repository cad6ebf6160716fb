import { prove } from './prove.ts'

prove(import.meta.path, 'set_tid gives the pid asked for, EEXIST while even a zombie holds it')
