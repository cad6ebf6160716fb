import { prove } from './prove.ts'

prove(import.meta.path, 'PTRACE_O_SUSPEND_SECCOMP opens strict mode to a tracer, until the detach')
