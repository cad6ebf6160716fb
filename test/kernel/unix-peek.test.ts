import { prove } from './prove.ts'

prove(import.meta.path, 'the queue of a unix socket is read whole by peeking, and stays as it is')
