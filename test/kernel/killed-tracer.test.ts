import { prove } from './prove.ts'

prove(import.meta.path, 'when its tracer is killed a task runs on from its registers')
