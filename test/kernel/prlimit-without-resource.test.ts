import { prove } from './prove.ts'

prove(import.meta.path, 'prlimit from outside needs CAP_SYS_RESOURCE, from inside it does not')
