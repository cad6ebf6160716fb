// Probes about namespaces, mounts and security modules.
import { EBADF, ENOENT } from '../constants.ts'
import { Child } from './child.ts'
import { textOf } from '../../base/bytes.ts'
import { major, minor, sys } from '../sys.ts'
import { answered, exists, failsWith, textFile, type Missing, type Probe } from './probe.ts'

const AT_FDCWD = -100
const CLONE_NEWNS = 0x2_0000
const CLONE_NEWUSER = 0x1000_0000
const [MS_REC, MS_PRIVATE] = [0x4000, 0x4_0000]
const MOVE_MOUNT_SET_GROUP = 0x100
const [PROT_READ, MAP_PRIVATE] = [1, 2]
const [O_RDWR, O_CREAT] = [2, 0o100]
const S_IFIFO = 0o010000
const PAGE = 4096

/** A child in a mount namespace of its own, with a fresh tmpfs on /tmp: what it mounts goes with it. */
function inOwnMounts(fill: (child: Child) => void, judge: (child: Child) => Missing): Missing {
  using child = new Child()
  const unshared = child.call('unshare', CLONE_NEWNS)
  child.call('mount', 'none', '/', 0, MS_REC | MS_PRIVATE, 0)
  const mounted = child.call('mount', 'none', '/tmp', 'tmpfs', 0, 0)
  fill(child)
  const pid = child.run()
  if (pid < 0) return answered('clone', pid)
  if (child.result(unshared) < 0) return answered('unshare', child.result(unshared))
  if (child.result(mounted) < 0) return answered('mount', child.result(mounted))
  return judge(child)
}

/** Descriptors of the child, moved to numbers that nothing else takes. */
const [FIFO, INFO, FILE] = [200, 201, 202]
/** A file of /proc gives about a page a read. */
const READS = 7

/** Adds the reading of a file of /proc; afterwards its text is to be had. */
function reading(child: Child, path: string): () => string {
  child.call('dup2', child.call('openat', AT_FDCWD, path, 0), INFO)
  const pieces = Array.from({ length: READS }, () => {
    const at = child.take(PAGE)
    return { at, got: child.call('read', INFO, at, PAGE) }
  })
  return () => pieces.map(({ at, got }) => textOf(child.bytes(at, Math.max(0, child.result(got))))).join('')
}

function autofs(): Missing {
  let mounted = { of: 0 }
  let mountinfo = (): string => ''
  return inOwnMounts(
    child => {
      child.call('mknod', '/tmp/fifo', S_IFIFO | 0o600, 0)
      child.call('dup2', child.call('openat', AT_FDCWD, '/tmp/fifo', O_RDWR), FIFO)
      child.call('mkdir', '/tmp/auto', 0o700)
      const options = `fd=${FIFO},pgrp=${sys('getpgrp')},minproto=5,maxproto=5,direct`
      mounted = child.call('mount', 'bardo', '/tmp/auto', 'autofs', 0, options)
      mountinfo = reading(child, '/proc/self/mountinfo')
    },
    child => {
      if (child.result(mounted) < 0) return `autofs cannot be mounted: ${answered('mount', child.result(mounted))}`
      const line = mountinfo()
        .split('\n')
        .find(each => each.includes(' autofs bardo '))
      return line?.includes('pipe_ino=') ? undefined : 'autofs mounts do not show pipe_ino'
    },
  )
}

/** The address map must name a file of an overlay by the numbers that stat gives, not by those of the layer below. */
function overlayMaps(): Missing {
  let mounted = { of: 0 }
  let stat = 0
  let maps = (): string => ''
  return inOwnMounts(
    child => {
      for (const name of ['lower', 'upper', 'work', 'merged']) child.call('mkdir', `/tmp/${name}`, 0o700)
      const options = 'lowerdir=/tmp/lower,upperdir=/tmp/upper,workdir=/tmp/work'
      mounted = child.call('mount', 'none', '/tmp/merged', 'overlay', 0, options)
      child.call('dup2', child.call('openat', AT_FDCWD, '/tmp/merged/probe', O_RDWR | O_CREAT, 0o600), FILE)
      child.call('ftruncate', FILE, PAGE)
      child.call('mmap', 0, PAGE, PROT_READ, MAP_PRIVATE, FILE, 0)
      stat = child.take(144)
      child.call('fstat', FILE, stat)
      maps = reading(child, '/proc/self/maps')
    },
    child => {
      if (child.result(mounted) < 0) return `overlayfs cannot be mounted: ${answered('mount', child.result(mounted))}`
      const bytes = child.bytes(stat, 16)
      const view = new DataView(bytes.buffer)
      const dev = Number(view.getBigUint64(0, true))
      const shown = [major(dev), minor(dev)].map(number => number.toString(16).padStart(2, '0')).join(':')
      const line = maps()
        .split('\n')
        .find(each => each.endsWith('/merged/probe'))
      if (line === undefined) return 'the mapping is not in the address map'
      const [, , , device, inode] = line.split(/ +/)
      return device === shown && BigInt(inode!) === view.getBigUint64(8, true)
        ? undefined
        : `maps shows ${device} inode ${inode}, stat ${shown} inode ${view.getBigUint64(8, true)}`
    },
  )
}

/** A child in a user namespace of its own. */
function userNamespace(): Missing {
  using child = new Child(CLONE_NEWUSER)
  const pid = child.run()
  return pid < 0 ? answered('clone', pid) : undefined
}

/** An unknown flag would be EINVAL; the empty path is looked at later. */
const moveMountSetGroup = (): Missing => failsWith([ENOENT, EBADF], 'move_mount', -1, '', -1, '', MOVE_MOUNT_SET_GROUP)

function apparmorStacking(): Missing {
  const stack = textFile('/sys/kernel/security/apparmor/features/domain/stack')
  return stack?.trim() === 'yes' ? undefined : 'the kernel runs without AppArmor, or its profiles do not stack'
}

export const namespaces: readonly Probe[] = [
  {
    name: 'userns',
    level: 'extra',
    since: '3.8',
    run: () => exists('/proc/self/ns/user') ?? userNamespace(),
    tests: 'a child in a new user namespace',
    without: 'containers with user namespaces cannot be restored',
  },
  {
    name: 'cgroupns',
    level: 'extra',
    since: '4.6',
    run: () => exists('/proc/self/ns/cgroup'),
    tests: '/proc/PID/ns/cgroup is there',
    without: 'containers with cgroup namespaces cannot be restored',
  },
  {
    name: 'timens',
    level: 'extra',
    since: '5.6',
    run: () => exists('/proc/self/timens_offsets'),
    tests: '/proc/PID/timens_offsets is there',
    without: 'clocks jump when a program is restored on another machine',
  },
  {
    name: 'move_mount_set_group',
    level: 'extra',
    since: '5.15',
    run: moveMountSetGroup,
    tests: 'MOVE_MOUNT_SET_GROUP of move_mount',
    without: 'mounts that are shared with others are harder to restore',
  },
  {
    name: 'overlayfs_maps',
    level: 'extra',
    since: '6.8',
    run: overlayMaps,
    tests: 'dev and inode of a mapped file of overlayfs in /proc/PID/maps',
    without: 'mapped files of overlayfs are harder to identify',
  },
  {
    name: 'autofs',
    level: 'experimental',
    since: '4.10',
    run: autofs,
    tests: 'pipe_ino of an autofs mount in mountinfo',
    without: 'autofs mounts cannot be restored',
  },
  {
    name: 'apparmor_stacking',
    level: 'asked',
    since: '4.13',
    run: apparmorStacking,
    tests: 'features/domain/stack of AppArmor',
    without: 'AppArmor profiles of containers cannot be saved',
  },
]
