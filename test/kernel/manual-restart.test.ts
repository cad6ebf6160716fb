import { prove } from './prove.ts'

prove(import.meta.path, 'a call interrupted with -512 can be started again by hand')
