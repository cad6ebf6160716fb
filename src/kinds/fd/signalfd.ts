// Signalfds: they give the pending signals of whoever reads them, so there is a mask and nothing else.
import { signalfd_entry } from '../../image/messages/events.ts'
import { O_CLOEXEC } from '../../linux/constants.ts'
import { fileKind } from '../kind.ts'

export const signalfd = fileKind({
  name: 'signalfd',
  type: 'SIGNALFD',
  field: 'sgfd',
  image: signalfd_entry,
  matches: { link: 'anon_inode:[signalfd]' },
  limits: [],
  // The signals that it gives, as one wrote them, in hexadecimal (fs/signalfd.c, signalfd_show_fdinfo).
  dump: view => ({ sigmask: BigInt(`0x${view.fdinfo.extra.get('sigmask')![0]}`) }),
  restore: ({ sigmask }, at) =>
    at.open('signalfd4', -1, at.memory(new Uint8Array(BigUint64Array.of(sigmask).buffer)), 8, O_CLOEXEC),
})
