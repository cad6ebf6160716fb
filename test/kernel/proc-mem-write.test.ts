import { prove } from './prove.ts'

prove(import.meta.path, '/proc/PID/mem writes through protections, process_vm_writev does not')
