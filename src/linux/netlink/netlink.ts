// Netlink as far as a reader needs it: one request, and every message of its answer (man 7 netlink).
import { BardoError } from '../../base/errors.ts'
import { EINTR } from '../constants.ts'
import { Arena, syscall } from '../ffi.ts'
import { NR } from '../nr.ts'
import { must, OpenFile } from '../sys.ts'

const [AF_NETLINK, SOCK_RAW, SOCK_CLOEXEC] = [16, 3, 0o2000000]
const [NLM_F_REQUEST, NLM_F_DUMP] = [1, 0x300]
const [NLMSG_ERROR, NLMSG_DONE] = [2, 3]
const HEADER_BYTES = 16
const ATTRIBUTE_HEADER_BYTES = 4
/** The type of an attribute without the bits that say how it is written. */
const NLA_TYPE_MASK = 0x3fff
/** What the kernel fills at most at once when a dump is read (net/netlink/af_netlink.c). */
const ANSWER_BYTES = 64 << 10

/**
 * Sends a dump request (`type` and `body` are the protocol's) and gives every message of the answer to `visit`: its
 * body, good until `visit` returns. Throws `refused`, naming `what`, with the errno that the kernel answered.
 */
export function eachOfDump(
  protocol: number,
  type: number,
  body: Uint8Array,
  what: string,
  visit: (body: DataView) => void,
): void {
  using socket = new OpenFile(must('socket', AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol))
  const request = new Uint8Array(HEADER_BYTES + body.length)
  const head = new DataView(request.buffer)
  head.setUint32(0, request.length, true)
  head.setUint16(4, type, true)
  head.setUint16(6, NLM_F_REQUEST | NLM_F_DUMP, true)
  request.set(body, HEADER_BYTES)
  must('sendto', socket.fd, request, request.length)
  const arena = new Arena(ANSWER_BYTES)
  try {
    for (let more = true; more;) {
      const got = syscall(NR.recvfrom, socket.fd, arena.address, ANSWER_BYTES)
      if (got === -EINTR) continue
      if (got < 0) throw refused(what, got)
      more = eachOf(new DataView(arena.bytes.buffer, arena.bytes.byteOffset, got), what, visit)
    }
  } finally {
    arena.unmap()
  }
}

/** The messages of one answer; false when it holds the last. */
function eachOf(answer: DataView, what: string, visit: (body: DataView) => void): boolean {
  for (let at = 0; at + HEADER_BYTES <= answer.byteLength;) {
    const length = answer.getUint32(at, true)
    const type = answer.getUint16(at + 4, true)
    if (length < HEADER_BYTES || at + length > answer.byteLength)
      throw refused(what, undefined, 'its answer is cut short')
    if (type === NLMSG_ERROR) throw refused(what, answer.getInt32(at + HEADER_BYTES, true))
    if (type === NLMSG_DONE) return false
    visit(new DataView(answer.buffer, answer.byteOffset + at + HEADER_BYTES, length - HEADER_BYTES))
    at += aligned(length)
  }
  return true
}

const refused = (what: string, errno: number | undefined, why?: string): BardoError =>
  new BardoError('refused', `cannot list ${what}`, { errno, why })

const aligned = (length: number): number => (length + 3) & ~3

/** Gives the attributes behind the first `offset` bytes of a body to `visit`, by type. */
export function eachAttribute(body: DataView, offset: number, visit: (type: number, value: DataView) => void): void {
  for (let at = offset; at + ATTRIBUTE_HEADER_BYTES <= body.byteLength;) {
    const length = body.getUint16(at, true)
    if (length < ATTRIBUTE_HEADER_BYTES || at + length > body.byteLength) return
    const type = body.getUint16(at + 2, true) & NLA_TYPE_MASK
    visit(
      type,
      new DataView(body.buffer, body.byteOffset + at + ATTRIBUTE_HEADER_BYTES, length - ATTRIBUTE_HEADER_BYTES),
    )
    at += aligned(length)
  }
}
