import { prove } from './prove.ts'

prove(import.meta.path, 'PTRACE_PEEKSIGINFO reads pending signals and takes none')
