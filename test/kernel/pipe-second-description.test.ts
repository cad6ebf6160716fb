import { prove } from './prove.ts'

prove(import.meta.path, 'a pipe can be opened again through /proc, with flags of its own')
