import { prove } from './prove.ts'

prove(import.meta.path, 'PR_GET_TID_ADDRESS tells clear_child_tid')
