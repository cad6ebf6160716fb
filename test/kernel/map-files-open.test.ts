import { prove } from './prove.ts'

prove(import.meta.path, 'map_files opens anonymous shared memory for others to map')
