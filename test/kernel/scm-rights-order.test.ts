import { prove } from './prove.ts'

prove(import.meta.path, 'SCM_RIGHTS fills the lowest free numbers in order, 253 at a time')
