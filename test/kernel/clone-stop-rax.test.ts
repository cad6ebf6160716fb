import { prove } from './prove.ts'

prove(import.meta.path, 'at a fork stop rax still reads -ENOSYS, and PTRACE_GETEVENTMSG names the child')
