import { prove } from './prove.ts'

prove(import.meta.path, 'a master is not hung up as long as anybody has the slave open')
