import { prove } from './prove.ts'

prove(import.meta.path, 'a process in the background may set its terminal while SIGTTOU is blocked')
