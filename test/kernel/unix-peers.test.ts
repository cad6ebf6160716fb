import { prove } from './prove.ts'

prove(import.meta.path, 'sock_diag names the peer of a unix socket, and tells one that is gone from one that never was')
