import { prove } from './prove.ts'

prove(import.meta.path, 'an entry of an epoll that has fired once is silent, and is armed for hang-ups when added anew')
