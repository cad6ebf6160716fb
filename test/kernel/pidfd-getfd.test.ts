import { prove } from './prove.ts'

prove(import.meta.path, 'pidfd_getfd gives the very same open file description')
