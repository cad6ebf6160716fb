import { prove } from './prove.ts'

prove(import.meta.path, 'TIOCGPTPEER leaves O_CLOEXEC among the flags of the description')
