import { prove } from './prove.ts'

prove(import.meta.path, 'a stop inside a call shows orig_rax and -512, -514 or -516, or EINTR that no signal has made')
