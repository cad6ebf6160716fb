// The system call numbers of the machine we run on. One architecture so far; a second one is chosen here.
export { NR, type CallName } from './arch/x86-64-nr.ts'
