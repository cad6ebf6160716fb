import { prove } from './prove.ts'

prove(import.meta.path, 'a timerfd with an interval stands still when it has expired, until it is asked for')
