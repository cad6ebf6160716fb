import { prove } from './prove.ts'

prove(import.meta.path, 'a stopped nanosleep has written what is left of its time')
