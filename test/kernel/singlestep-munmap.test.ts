import { prove } from './prove.ts'

prove(import.meta.path, 'a single-stepped munmap in the vdso can unmap where the task came from')
