import { prove } from './prove.ts'

prove(import.meta.path, 'a scan of many regions tells them all in one call, whatever its walk_end')
