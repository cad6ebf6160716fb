import { prove } from './prove.ts'

prove(import.meta.path, 'the name of a slave can be had through its master without opening it')
