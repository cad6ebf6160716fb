import { prove } from './prove.ts'

prove(import.meta.path, 'an epoll knows what it watches by open file and number, in whichever process')
