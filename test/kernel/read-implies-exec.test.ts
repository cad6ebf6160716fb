import { prove } from './prove.ts'

prove(import.meta.path, 'READ_IMPLIES_EXEC changes the mappings made after it')
