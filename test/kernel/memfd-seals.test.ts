import { prove } from './prove.ts'

prove(import.meta.path, 'a memfd is sealed against writing when no shared mapping could come to write')
