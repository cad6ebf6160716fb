import { prove } from './prove.ts'

prove(import.meta.path, 'a signal that is ignored stops a traced task only')
