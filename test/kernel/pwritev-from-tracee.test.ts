import { prove } from './prove.ts'

prove(import.meta.path, 'a stopped task writes its own pages to a file')
