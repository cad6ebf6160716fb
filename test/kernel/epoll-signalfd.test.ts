import { prove } from './prove.ts'

prove(import.meta.path, 'a signalfd in an epoll wakes for the signals of the process that added it')
