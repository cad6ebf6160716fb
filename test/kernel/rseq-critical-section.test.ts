import { prove } from './prove.ts'

prove(import.meta.path, 'a call made in a stopped task makes the kernel forget its critical section')
