// Probes about sockets and the network.
import { ENOENT } from '../constants.ts'
import { OpenFile, must, scratch, sys } from '../sys.ts'
import { Child } from './child.ts'
import { answered, failsWith, succeeds, withFd, type Missing, type Probe } from './probe.ts'

const [AF_UNIX, AF_INET, AF_INET6, AF_NETLINK] = [1, 2, 10, 16]
const [SOCK_STREAM, SOCK_DGRAM, SOCK_RAW, SOCK_CLOEXEC] = [1, 2, 3, 0o2000000]
const [NETLINK_ROUTE, NETLINK_SOCK_DIAG] = [0, 4]
const [SOL_SOCKET, SOL_TCP, SOL_IPV6] = [1, 6, 41]
const TCP_REPAIR = 19
const SO_BUF_LOCK = 72
const SO_PEEK_OFF = 42
const IPV6_FREEBIND = 78
const SIOCGSKNS = 0x894c
const SIOCUNIXFILE = 0x89e0
const SHUT_WR = 1
const ONE = Uint8Array.of(1, 0, 0, 0)
const AT_FDCWD = -100

const NLM_F_REQUEST = 1
const NLM_F_ACK = 4
const NLM_F_DUMP = 0x300
const NLM_F_CREATE_EXCL = 0x600
const NLMSG_ERROR = 2
const HEADER_SIZE = 16

/** A netlink message: header, then the body (include/uapi/linux/netlink.h). */
function message(type: number, flags: number, body: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(HEADER_SIZE + body.length)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, bytes.length, true)
  view.setUint16(4, type, true)
  view.setUint16(6, flags | NLM_F_REQUEST, true)
  bytes.set(body, HEADER_SIZE)
  return bytes
}

/** An attribute, padded to four bytes. */
function attribute(type: number, body: Uint8Array): Uint8Array {
  const bytes = new Uint8Array((4 + body.length + 3) & ~3)
  const view = new DataView(bytes.buffer)
  view.setUint16(0, 4 + body.length, true)
  view.setUint16(2, type, true)
  bytes.set(body, 4)
  return bytes
}

function joined(...parts: Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((size, part) => size + part.length, 0))
  let at = 0
  for (const part of parts) {
    all.set(part, at)
    at += part.length
  }
  return all
}

const text = (value: string): Uint8Array => new TextEncoder().encode(`${value}\0`)

/** The first answer to a request: 0, or the negative errno that it carries. */
function firstAnswer(protocol: number, request: Uint8Array): { result: number; type: number } | string {
  const fd = sys('socket', AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol)
  if (fd < 0) return answered('socket', fd)
  using socket = new OpenFile(fd)
  const sent = sys('sendto', socket.fd, request, request.length, 0, 0, 0)
  if (sent < 0) return answered('sendto', sent)
  const mark = scratch.mark()
  try {
    const at = scratch.take(32 << 10)
    const n = sys('recvfrom', socket.fd, at, 32 << 10, 0, 0, 0)
    if (n < HEADER_SIZE + 4) return 'netlink gave no answer'
    const view = new DataView(scratch.bytes.buffer, at - scratch.address, n)
    const type = view.getUint16(4, true)
    return { type, result: type === NLMSG_ERROR ? view.getInt32(HEADER_SIZE, true) : 0 }
  } finally {
    scratch.release(mark)
  }
}

const [SOCK_DIAG_BY_FAMILY, IPPROTO_RAW] = [20, 255]

/** Asks for all raw sockets of a family (struct inet_diag_req_v2, include/uapi/linux/inet_diag.h). */
function diagRaw(family: number): Missing {
  const body = new Uint8Array(56)
  body[0] = family
  body[1] = IPPROTO_RAW
  body.fill(0xff, 4, 8)
  const answer = firstAnswer(NETLINK_SOCK_DIAG, message(SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, body))
  if (typeof answer === 'string') return answer
  return answer.result === 0
    ? undefined
    : `the kernel does not list raw sockets (CONFIG_INET_RAW_DIAG): ${answered('sendto', answer.result)}`
}

const [RTM_NEWLINK, RTM_GETLINK, RTM_SETLINK, RTM_GETNSID] = [16, 18, 19, 90]
const NETNSA_PID = 2
const [IFLA_IFNAME, IFLA_LINKINFO, IFLA_NET_NS_FD, IFLA_LINK_NETNSID, IFLA_NEW_IFINDEX] = [3, 18, 28, 37, 49]
const [IFLA_INFO_KIND, IFLA_INFO_DATA, VETH_INFO_PEER] = [1, 2, 1]
const IFINFOMSG_SIZE = 16
const ERANGE = 34

function nsid(): Missing {
  const pid = new Uint8Array(4)
  new DataView(pid.buffer).setUint32(0, sys('getpid'), true)
  const answer = firstAnswer(
    NETLINK_ROUTE,
    message(RTM_GETNSID, 0, joined(new Uint8Array(4), attribute(NETNSA_PID, pid))),
  )
  if (typeof answer === 'string') return answer
  return answer.result === 0 ? undefined : answered('sendto', answer.result)
}

/** A negative new index is out of range where the attribute is known; the link does not exist in any case. */
function newIfindex(): Missing {
  const body = joined(
    new Uint8Array(IFINFOMSG_SIZE),
    attribute(IFLA_NEW_IFINDEX, new Uint8Array(4).fill(0xff)),
    attribute(IFLA_IFNAME, text('bardo-probe')),
  )
  const answer = firstAnswer(NETLINK_ROUTE, message(RTM_SETLINK, NLM_F_ACK, body))
  if (typeof answer === 'string') return answer
  return answer.result === -ERANGE ? undefined : answered('sendto', answer.result)
}

const CLONE_NEWNET = 0x4000_0000

/** Whether a link of a RTM_GETLINK answer has attribute `wanted`. */
function hasAttribute(answer: Uint8Array, wanted: number): boolean {
  const view = new DataView(answer.buffer, answer.byteOffset, answer.length)
  for (let at = 0; at + HEADER_SIZE <= answer.length;) {
    const length = view.getUint32(at, true)
    if (length < HEADER_SIZE || at + length > answer.length) return false
    for (let inner = at + HEADER_SIZE + IFINFOMSG_SIZE; inner + 4 <= at + length;) {
      const size = view.getUint16(inner, true)
      if (size < 4) break
      if (view.getUint16(inner + 2, true) === wanted) return true
      inner += (size + 3) & ~3
    }
    at += (length + 3) & ~3
  }
  return false
}

/** The socket of the child below; a fresh process has no other descriptor there. */
const CHILD_SOCKET = 200
const ANSWER_SIZE = 16 << 10

/** A veth pair over two fresh namespaces: its link must name the other one by id. */
function linkNsid(): Missing {
  using child = new Child()
  const unshared = child.call('unshare', CLONE_NEWNET)
  const other = child.call('openat', AT_FDCWD, '/proc/self/ns/net', 0)
  child.call('unshare', CLONE_NEWNET)
  const socket = child.call('socket', AF_NETLINK, SOCK_RAW, NETLINK_ROUTE)
  child.call('dup2', socket, CHILD_SOCKET)
  const peer = attribute(
    VETH_INFO_PEER,
    joined(new Uint8Array(IFINFOMSG_SIZE), attribute(IFLA_NET_NS_FD, new Uint8Array(4))),
  )
  const info = joined(attribute(IFLA_INFO_KIND, text('veth')), attribute(IFLA_INFO_DATA, peer))
  const make = message(
    RTM_NEWLINK,
    NLM_F_ACK | NLM_F_CREATE_EXCL,
    joined(new Uint8Array(IFINFOMSG_SIZE), attribute(IFLA_LINKINFO, info)),
  )
  // The namespace's descriptor is the last thing in the message; its 64-bit store needs room behind.
  const makeAt = child.put(joined(make, new Uint8Array(8)))
  child.store(other, makeAt + make.length - 4)
  child.call('sendto', CHILD_SOCKET, makeAt, make.length, 0, 0, 0)
  const answerAt = child.take(ANSWER_SIZE)
  child.call('recvfrom', CHILD_SOCKET, answerAt, ANSWER_SIZE, 0, 0, 0)
  const list = message(RTM_GETLINK, NLM_F_DUMP, new Uint8Array(IFINFOMSG_SIZE))
  child.call('sendto', CHILD_SOCKET, child.put(list), list.length, 0, 0, 0)
  const got = child.call('recvfrom', CHILD_SOCKET, answerAt, ANSWER_SIZE, 0, 0, 0)
  const pid = child.run()
  if (pid < 0) return answered('clone', pid)
  if (child.result(unshared) < 0) return answered('unshare', child.result(unshared))
  const n = child.result(got)
  if (n <= 0) return 'a veth pair over two network namespaces could not be made'
  return hasAttribute(child.bytes(answerAt, n), IFLA_LINK_NETNSID) ? undefined : 'links have no IFLA_LINK_NETNSID'
}

const socketOf = (family: number, type: number, use: (fd: number) => Missing): Missing =>
  withFd(use, 'socket', family, type | SOCK_CLOEXEC, 0)

/** A connection to ourselves, half closed, must still enter repair mode. */
function halfClosed(): Missing {
  return socketOf(AF_INET, SOCK_STREAM, listener =>
    socketOf(AF_INET, SOCK_STREAM, client => {
      const mark = scratch.mark()
      try {
        // struct sockaddr_in: 127.0.0.1, a port of the kernel's choice.
        const address = scratch.take(16)
        scratch.at(address, 16).set([AF_INET, 0, 0, 0, 127, 0, 0, 1])
        const length = scratch.take(8)
        scratch.view.setUint32(length - scratch.address, 16, true)
        const bound = sys('bind', listener, address, 16)
        if (bound < 0) return answered('bind', bound)
        must('listen', listener, 1)
        must('getsockname', listener, address, length)
        const connected = sys('connect', client, address, 16)
        if (connected < 0) return answered('connect', connected)
        must('shutdown', client, SHUT_WR)
        return succeeds('setsockopt', client, SOL_TCP, TCP_REPAIR, ONE, 4)
      } finally {
        scratch.release(mark)
      }
    }),
  )
}

/** An option that can be read as four bytes. */
const readable = (fd: number, level: number, option: number): Missing => {
  const mark = scratch.mark()
  try {
    const length = scratch.take(8)
    scratch.view.setUint32(length - scratch.address, 4, true)
    return succeeds('getsockopt', fd, level, option, scratch.take(8), length)
  } finally {
    scratch.release(mark)
  }
}

/** The descriptor of the network namespace that `fd` belongs to. */
const namespaceOf = (fd: number): Missing => withFd(() => undefined, 'ioctl', fd, SIOCGSKNS, 0)

const NO_FIREWALL = 'Bardo does not save or change firewall rules yet'

export const network: readonly Probe[] = [
  {
    name: 'sock_peek_off',
    level: 'extra',
    since: '3.4',
    run: () => socketOf(AF_UNIX, SOCK_DGRAM, fd => readable(fd, SOL_SOCKET, SO_PEEK_OFF)),
    tests: 'SO_PEEK_OFF of a unix socket',
    without: 'queues of sockets cannot be saved',
  },
  {
    name: 'tcp_half_closed',
    level: 'extra',
    since: '4.13',
    run: halfClosed,
    tests: 'TCP_REPAIR of a half closed connection',
    without: 'half closed TCP connections cannot be dumped',
  },
  {
    name: 'sk_ns',
    level: 'extra',
    since: '4.10',
    run: () => socketOf(AF_UNIX, SOCK_DGRAM, namespaceOf),
    tests: 'ioctl(SIOCGSKNS) of a socket',
    without: 'sockets of another network namespace cannot be dumped',
  },
  {
    name: 'tun_ns',
    level: 'asked',
    since: '5.0',
    run: () => withFd(namespaceOf, 'openat', AT_FDCWD, '/dev/net/tun', 0o2000000),
    tests: 'ioctl(SIOCGSKNS) of /dev/net/tun',
    without: 'tun devices of another network namespace cannot be dumped',
  },
  // A socket without an address has no file to open: ENOENT shows that the request is known.
  {
    name: 'sk_unix_file',
    level: 'asked',
    since: '4.15',
    run: () => socketOf(AF_UNIX, SOCK_DGRAM, fd => failsWith([ENOENT], 'ioctl', fd, SIOCUNIXFILE, 0)),
    tests: 'ioctl(SIOCUNIXFILE)',
    without: 'unix sockets whose file was deleted or hidden cannot be dumped',
  },
  {
    name: 'net_diag_raw',
    level: 'extra',
    since: '4.10',
    run: () => diagRaw(AF_INET) ?? diagRaw(AF_INET6),
    tests: 'sock_diag of raw sockets',
    without: 'raw sockets cannot be dumped',
  },
  {
    name: 'nsid',
    level: 'asked',
    since: '4.0',
    run: nsid,
    tests: 'RTM_GETNSID',
    without: 'nested network namespaces cannot be dumped',
  },
  {
    name: 'link_nsid',
    level: 'asked',
    since: '4.0',
    run: linkNsid,
    tests: 'IFLA_LINK_NETNSID of a veth pair over two namespaces',
    without: 'veth pairs over two namespaces cannot be dumped',
  },
  {
    name: 'newifindex',
    level: 'extra',
    since: '5.8',
    run: newIfindex,
    tests: 'IFLA_NEW_IFINDEX',
    without: 'links moved into a namespace do not keep their index',
  },
  {
    name: 'sockopt_buf_lock',
    level: 'extra',
    since: '5.15',
    run: () => socketOf(AF_INET, SOCK_STREAM, fd => readable(fd, SOL_SOCKET, SO_BUF_LOCK)),
    tests: 'SO_BUF_LOCK',
    without: 'whether the buffer sizes of a socket were set by hand is lost',
  },
  {
    name: 'ipv6_freebind',
    level: 'extra',
    since: '4.15',
    run: () => socketOf(AF_INET6, SOCK_DGRAM, fd => succeeds('setsockopt', fd, SOL_IPV6, IPV6_FREEBIND, ONE, 4)),
    tests: 'IPV6_FREEBIND',
    without: 'IPv6 sockets bound to foreign addresses cannot be restored',
  },
  {
    name: 'external_net_ns',
    level: 'asked',
    since: '3.0',
    run: () => 'Bardo does not carry network namespaces yet',
    tests: 'nothing: Bardo answers for itself',
    without: '--external net[INODE]:NAME',
  },
  {
    name: 'nftables',
    level: 'asked',
    since: '3.13',
    run: () => NO_FIREWALL,
    tests: 'nothing: Bardo answers for itself',
    without: 'rules of nftables are not saved',
  },
  {
    name: 'has_ipt_legacy',
    level: 'asked',
    since: '2.4',
    run: () => NO_FIREWALL,
    tests: 'nothing: Bardo answers for itself',
    without: 'rules of iptables are not saved',
  },
  {
    name: 'network_lock_nftables',
    level: 'asked',
    since: '4.1',
    run: () => NO_FIREWALL,
    tests: 'nothing: Bardo answers for itself',
    without: '--network-lock nftables',
  },
]
