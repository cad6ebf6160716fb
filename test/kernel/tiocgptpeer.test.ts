import { prove } from './prove.ts'

prove(import.meta.path, 'TIOCGPTPEER opens the other end of a terminal without a path')
