import { prove } from './prove.ts'

prove(import.meta.path, 'a master in packet mode hears of a stop when all that was typed before has been processed')
