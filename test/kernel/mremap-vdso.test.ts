import { prove } from './prove.ts'

prove(import.meta.path, 'the vdso and its data can be moved and keep their names')
