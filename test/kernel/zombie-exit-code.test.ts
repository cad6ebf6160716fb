import { prove } from './prove.ts'

prove(import.meta.path, 'the stat of a zombie tells its exit code, group and session')
