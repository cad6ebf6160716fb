import { prove } from './prove.ts'

prove(import.meta.path, 'the files of a killed process are closed before its parent is told')
