import { prove } from './prove.ts'

prove(import.meta.path, 'a controlling terminal is inherited at birth only, and a master tells whose it is')
