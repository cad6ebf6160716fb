import { prove } from './prove.ts'

prove(import.meta.path, 'PAGEMAP_SCAN tells untouched, zero, written and file pages apart')
