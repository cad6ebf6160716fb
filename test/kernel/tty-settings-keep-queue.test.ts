import { prove } from './prove.ts'

prove(import.meta.path, 'new settings keep what is queued, unless canonical mode changes')
