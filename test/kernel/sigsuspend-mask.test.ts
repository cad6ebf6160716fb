import { prove } from './prove.ts'

prove(import.meta.path, 'PTRACE_GETSIGMASK gives the mask behind a sigsuspend')
