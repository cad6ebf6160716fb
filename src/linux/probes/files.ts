// Probes about open files: what /proc tells of them, and the ioctls that set them up again.
import { EFAULT, EIO } from '../constants.ts'
import { OpenFile, must, scratch, sys } from '../sys.ts'
import { answered, failsWith, succeeds, textFile, withFd, type Missing, type Probe } from './probe.ts'

const AT_FDCWD = -100
const O_CLOEXEC = 0o2000000
const O_RDWR_CLOEXEC = 0o2000002
const LOCK_SH = 1
const CLOCK_MONOTONIC = 1

/** Missing unless fdinfo of a fresh memfd has a line that begins with `start`, after `prepare`. */
const fdinfo = (start: string, prepare: (fd: number) => void = () => {}): Missing =>
  withFd(
    fd => {
      prepare(fd)
      const text = textFile(`/proc/self/fdinfo/${fd}`) ?? ''
      return text.split('\n').some(line => line.startsWith(start)) ? undefined : `fdinfo has no line "${start}"`
    },
    'memfd_create',
    'probe',
    1,
  )

const TFD_IOC_SET_TICKS = 0x40085400
const TUNSETIFINDEX = 0x400454da
const TIOCSPTLCK = 0x40045431
const TIOCGPTPEER = 0x5441
const KCMP_EPOLL_TFD = 7
const EPOLL_CTL_ADD = 1

function tun(): Missing {
  const index = new Uint8Array(4)
  index[0] = 13
  return withFd(fd => succeeds('ioctl', fd, TUNSETIFINDEX, index), 'openat', AT_FDCWD, '/dev/net/tun', O_RDWR_CLOEXEC)
}

/** A locked pty must refuse to be opened, or a restore could not build pairs unseen. */
function ptyLock(): Missing {
  const lock = new Uint8Array(4)
  lock[0] = 1
  return withFd(
    master => {
      const locked = sys('ioctl', master, TIOCSPTLCK, lock)
      if (locked < 0) return answered('ioctl', locked)
      return failsWith([EIO], 'ioctl', master, TIOCGPTPEER, O_RDWR_CLOEXEC | 0o400)
    },
    'openat',
    AT_FDCWD,
    '/dev/ptmx',
    O_RDWR_CLOEXEC | 0o400,
  )
}

function kcmpEpoll(): Missing {
  return withFd(
    epoll => {
      using watched = new OpenFile(must('eventfd2', 0, O_CLOEXEC))
      must('epoll_ctl', epoll, EPOLL_CTL_ADD, watched.fd, new Uint8Array(12))
      const slot = new Uint8Array(12)
      const view = new DataView(slot.buffer)
      view.setUint32(0, epoll, true)
      view.setUint32(4, watched.fd, true)
      const result = sys('kcmp', sys('getpid'), sys('getpid'), KCMP_EPOLL_TFD, watched.fd, slot)
      return result < 0
        ? answered('kcmp', result)
        : result === 0
          ? undefined
          : 'kcmp says that the file is not the watched one'
    },
    'epoll_create1',
    O_CLOEXEC,
  )
}

function openat2(): Missing {
  const mark = scratch.mark()
  try {
    // struct open_how: flags O_PATH, mode 0, resolve RESOLVE_IN_ROOT.
    const how = scratch.take(24)
    scratch.view.setBigUint64(how - scratch.address, 0o10000000n, true)
    scratch.view.setBigUint64(how - scratch.address + 16, 0x10n, true)
    return withFd(() => undefined, 'openat2', AT_FDCWD, '.', how, 24)
  } finally {
    scratch.release(mark)
  }
}

export const files: readonly Probe[] = [
  {
    name: 'pty_lock',
    level: 'required',
    since: '2.6',
    run: ptyLock,
    tests: 'TIOCSPTLCK keeps a pty from being opened',
    without: 'terminals cannot be restored',
  },
  {
    name: 'openat2',
    level: 'required',
    since: '5.6',
    run: openat2,
    tests: 'openat2(RESOLVE_IN_ROOT)',
    without: 'files cannot be opened safely inside the root of a task',
  },
  {
    name: 'mnt_id',
    level: 'required',
    since: '3.15',
    run: () => fdinfo('mnt_id:'),
    tests: 'mnt_id in /proc/PID/fdinfo',
    without: 'it is not known on which mount a file was opened',
  },
  {
    name: 'fdinfo_lock',
    level: 'extra',
    since: '4.1',
    run: () => fdinfo('lock:', fd => void sys('flock', fd, LOCK_SH)),
    tests: 'locks in /proc/PID/fdinfo',
    without: 'file locks cannot be told apart',
  },
  {
    name: 'timerfd',
    level: 'extra',
    since: '3.17',
    run: () =>
      withFd(
        fd => failsWith([EFAULT], 'ioctl', fd, TFD_IOC_SET_TICKS, 0),
        'timerfd_create',
        CLOCK_MONOTONIC,
        O_CLOEXEC,
      ),
    tests: 'ioctl(TFD_IOC_SET_TICKS)',
    without: 'expirations of timerfds that were not read yet are lost',
  },
  {
    name: 'tun',
    level: 'extra',
    since: '3.15',
    run: tun,
    tests: '/dev/net/tun and ioctl(TUNSETIFINDEX)',
    without: 'tun devices cannot be restored',
  },
  {
    name: 'kcmp_epoll',
    level: 'extra',
    since: '4.13',
    run: kcmpEpoll,
    tests: 'kcmp(KCMP_EPOLL_TFD)',
    without: 'epoll watches of files that were passed or closed cannot be saved',
  },
]
