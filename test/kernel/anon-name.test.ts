import { prove } from './prove.ts'

prove(import.meta.path, 'a mapping with a name can be found again in maps')
