import { prove } from './prove.ts'

prove(import.meta.path, 'rt_sigreturn takes everything from a frame anywhere in memory')
