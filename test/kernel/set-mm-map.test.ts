import { prove } from './prove.ts'

prove(import.meta.path, 'PR_SET_MM_MAP works without CAP_SYS_RESOURCE')
