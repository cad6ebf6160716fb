// Timerfds: a timer that is read.
import { BardoError } from '../../base/errors.ts'
import { timerfd_entry } from '../../image/messages/events.ts'
import { AT_FDCWD, O_CLOEXEC } from '../../linux/constants.ts'
import { parseFdinfo, type Fdinfo } from '../../linux/proc/fdinfo.ts'
import { must, readFile, scratch } from '../../linux/sys.ts'
import { fileKind, type FileView } from '../kind.ts'

const TFD_TIMER_ABSTIME = 1
const TFD_TIMER_FLAGS = 3
/** _IOW('T', 0, __u64), of kernels with CONFIG_CHECKPOINT_RESTORE. */
const TFD_IOC_SET_TICKS = 0x4008_5400
/** CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_REALTIME_ALARM, CLOCK_BOOTTIME_ALARM. */
const CLOCKS = [0, 1, 7, 8, 9]
const WALL_CLOCKS = [0, 8]
const SECOND_NS = 1_000_000_000n
/** More than the kernel's time can hold, in seconds. */
const SECONDS_MAX = 1n << 33n
const ITIMERSPEC_BYTES = 32

type Timer = {
  readonly clockid: number
  readonly ticks: bigint
  readonly settime_flags: number
  readonly left_ns: bigint
  readonly interval_ns: bigint
}

/** `(4998, 932514276)`: seconds and nanoseconds. */
function timeOf(text: string): bigint {
  const comma = text.indexOf(',')
  return BigInt(text.slice(1, comma)) * SECOND_NS + BigInt(text.slice(comma + 1, -1).trim())
}

function parseTimer({ extra }: Fdinfo): Timer {
  const line = (name: string): string => extra.get(name)![0]!
  return {
    clockid: Number(line('clockid')),
    ticks: BigInt(line('ticks')),
    settime_flags: parseInt(line('settime flags'), 8),
    left_ns: timeOf(line('it_value')),
    interval_ns: timeOf(line('it_interval')),
  }
}

/**
 * What fdinfo tells of a timer. One with an interval stands still from an expiry until it is read or asked for: fdinfo
 * shows nothing left and one tick then, however many have gone by (test/kernel/timerfd-stands-still.test.ts). To ask
 * makes it go on, and counts them; nobody can tell that from its having been read in time.
 */
function readTimer(view: FileView): Timer {
  for (let tries = 0; ; tries++) {
    const mark = scratch.mark()
    must('timerfd_gettime', view.ours, scratch.take(ITIMERSPEC_BYTES))
    scratch.release(mark)
    const timer = parseTimer(parseFdinfo(readFile(AT_FDCWD, `/proc/self/fdinfo/${view.ours}`)!))
    const expired = timer.left_ns === 0n && timer.interval_ns > 0n && timer.ticks > 0n
    if (!expired) return timer
    // An interval shorter than a question takes is over each time.
    if (tries === 3) return { ...timer, left_ns: timer.interval_ns }
  }
}

function now_ns(clockid: number): bigint {
  const mark = scratch.mark()
  const at = scratch.take(16)
  must('clock_gettime', clockid, at)
  const { view, address } = scratch
  const time = view.getBigInt64(at - address, true) * SECOND_NS + view.getBigInt64(at + 8 - address, true)
  scratch.release(mark)
  return time
}

/** struct itimerspec: the interval, then the value. */
const itimerspec = (interval_ns: bigint, value_ns: bigint): Uint8Array =>
  new Uint8Array(
    BigInt64Array.of(interval_ns / SECOND_NS, interval_ns % SECOND_NS, value_ns / SECOND_NS, value_ns % SECOND_NS)
      .buffer,
  )

/** When the timer is to expire, as timerfd_settime takes it with these flags: on its clock, or from now. */
function valueOf(state: timerfd_entry): bigint {
  const interval_ns = state.isec * SECOND_NS + state.insec
  // Where the dumper did not ask (CRIU), one that stands still looks like this; disarmed, it would have no ticks.
  const standsStill = state.vsec === 0n && state.vnsec === 0n && state.ticks > 0n
  const left_ns = standsStill ? interval_ns : state.vsec * SECOND_NS + state.vnsec
  if ((state.settime_flags & TFD_TIMER_ABSTIME) === 0 || left_ns === 0n) return left_ns
  return state.expires_ns ?? now_ns(state.clockid) + left_ns
}

function check(state: timerfd_entry): void {
  const { clockid, settime_flags, vsec, vnsec, isec, insec } = state
  const good =
    CLOCKS.includes(clockid) &&
    (settime_flags & ~TFD_TIMER_FLAGS) === 0 &&
    vnsec < SECOND_NS &&
    insec < SECOND_NS &&
    vsec < SECONDS_MAX &&
    isec < SECONDS_MAX
  if (!good) throw new BardoError('bad-image', `timerfd ${state.id} has a clock or times that are none`)
}

export const timerfd = fileKind({
  name: 'timerfd',
  type: 'TIMERFD',
  field: 'tfd',
  image: timerfd_entry,
  matches: { link: 'anon_inode:[timerfd]' },
  limits: [],
  dump(view) {
    const { clockid, ticks, settime_flags, left_ns, interval_ns } = readTimer(view)
    // A time of day stays what it is, however long the program was away.
    const absolute = (settime_flags & TFD_TIMER_ABSTIME) !== 0 && WALL_CLOCKS.includes(clockid) && left_ns > 0n
    return {
      clockid,
      ticks,
      settime_flags,
      vsec: left_ns / SECOND_NS,
      vnsec: left_ns % SECOND_NS,
      isec: interval_ns / SECOND_NS,
      insec: interval_ns % SECOND_NS,
      ...(absolute ? { expires_ns: now_ns(clockid) + left_ns } : {}),
    }
  },
  restore(state, at) {
    check(state)
    const file = at.open('timerfd_create', state.clockid, O_CLOEXEC)
    const { settime_flags, ticks, isec, insec } = state
    const value_ns = valueOf(state)
    // Armed as late as can be: the time that a restore takes is not the program's.
    at.later('timers', late => {
      const times = late.memory(itimerspec(isec * SECOND_NS + insec, value_ns))
      if (value_ns > 0n || isec + insec > 0n || settime_flags !== 0)
        late.call('timerfd_settime', file, settime_flags, times, 0)
      // Behind the arming, which forgets them.
      if (ticks > 0n)
        late.call('ioctl', file, TFD_IOC_SET_TICKS, late.memory(new Uint8Array(BigUint64Array.of(ticks).buffer)))
    })
    return file
  },
})
