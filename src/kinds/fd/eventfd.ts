// Eventfds: a counter that processes wait on.
import { BardoError } from '../../base/errors.ts'
import { eventfd_file_entry } from '../../image/messages/events.ts'
import { O_CLOEXEC, O_NONBLOCK } from '../../linux/constants.ts'
import { fileKind, type Limit } from '../kind.ts'

const EFD_SEMAPHORE = 1
/** write(2) takes any number below it; only the kernel itself can count up to it, and the file tells POLLERR then. */
const OVERFLOWN = 0xffff_ffff_ffff_ffffn

const overflown: Limit = {
  id: 'eventfd-overflown',
  says: 'an eventfd whose counter has overflown is not supported',
  why: 'no call can bring it there again',
  hint: 'let the program read it before the dump',
}

export const eventfd = fileKind({
  name: 'eventfd',
  type: 'EVENTFD',
  field: 'efd',
  image: eventfd_file_entry,
  matches: { link: 'anon_inode:[eventfd]' },
  limits: [overflown],
  dump(view) {
    const { extra } = view.fdinfo
    // In hexadecimal, padded with blanks (fs/eventfd.c, eventfd_show_fdinfo). The other line came with Linux 6.5.
    const counter = BigInt(`0x${extra.get('eventfd-count')![0]}`)
    if (counter === OVERFLOWN) view.refuse(overflown)
    return { counter, ...(extra.get('eventfd-semaphore')?.[0] === '1' ? { semaphore: true } : {}) }
  },
  restore({ counter, semaphore }, at) {
    if (counter === OVERFLOWN) throw new BardoError('unsupported', `cannot restore the file: ${overflown.says}`)
    // eventfd2 itself takes 32 bits only.
    const file = at.open('eventfd2', 0, O_CLOEXEC | O_NONBLOCK | (semaphore === true ? EFD_SEMAPHORE : 0))
    if (counter !== 0n) at.call('write', file, at.memory(new Uint8Array(BigUint64Array.of(counter).buffer)), 8)
    return file
  },
})
