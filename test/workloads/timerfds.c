// Timerfds: with an interval, for once, to an absolute time on either clock, expired and not read, with an interval that
// went by many times, disarmed, shared with a child that waits for it.
// kinds: fd/timerfd
#include "workload.h"
#include <sys/timerfd.h>

static int waited;

static int timer(int clock, int flags, int settime_flags, long value_ms, long interval_ms) {
  int fd = timerfd_create(clock, flags);
  struct timespec now = {0, 0};
  if (settime_flags & TFD_TIMER_ABSTIME) clock_gettime(clock, &now);
  long ms = now.tv_sec * 1000 + now.tv_nsec / 1000000 + value_ms;
  struct itimerspec its = {{interval_ms / 1000, interval_ms % 1000 * 1000000}, {ms / 1000, ms % 1000 * 1000000}};
  must(fd >= 0 && timerfd_settime(fd, settime_flags, &its, NULL) == 0);
  return fd;
}

/** Whole seconds that are left, rounded up; the interval at `interval`. */
static long left(int fd, long *interval) {
  struct itimerspec its = {{-1, 0}, {-1, 0}};
  check(timerfd_gettime(fd, &its) == 0);
  if (interval != NULL) *interval = its.it_interval.tv_sec;
  return its.it_value.tv_sec + (its.it_value.tv_nsec > 0);
}

/** Expirations that were not read; 0 for none. */
static uint64_t ticks(int fd) {
  uint64_t count = 0;
  fcntl(fd, F_SETFL, O_NONBLOCK);
  return read(fd, &count, 8) == 8 ? count : 0;
}

static void child(void *unused) {
  (void)unused;
  prepared();
  uint64_t count = 0;
  check(read(waited, &count, 8) == 8 && count >= 1);
}

int main(int argc, char **argv) {
  start(argc, argv);
  int regular = timer(CLOCK_MONOTONIC, TFD_CLOEXEC, 0, 5000000, 7000000);
  int once = timer(CLOCK_BOOTTIME, TFD_NONBLOCK, 0, 3000000, 0);
  int later = timer(CLOCK_MONOTONIC, 0, TFD_TIMER_ABSTIME, 4000000, 0);
  int at_time = timer(CLOCK_REALTIME, 0, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, 6000000, 0);
  int expired = timer(CLOCK_MONOTONIC, 0, 0, 1, 0);
  int often = timer(CLOCK_MONOTONIC, 0, 0, 1, 1);
  int slowly = timer(CLOCK_MONOTONIC, 0, 0, 1, 9000000);
  int disarmed = timerfd_create(CLOCK_REALTIME, 0);
  waited = timer(CLOCK_MONOTONIC, 0, 0, 600, 0);
  struct timespec before, after;
  clock_gettime(CLOCK_REALTIME, &before);
  long due = before.tv_sec + left(at_time, NULL);
  pid_t pid = fork_child(child, NULL);
  await_prepared(1);
  usleep(50000);
  ready();
  wait_for_go();
  long interval = 0;
  check(left(regular, &interval) > 4900 && left(regular, NULL) <= 5000 && interval == 7000);
  check(left(once, &interval) > 2900 && left(once, NULL) <= 3000 && interval == 0 && (fcntl(once, F_GETFL) & O_NONBLOCK));
  check(left(later, NULL) > 3900 && left(later, NULL) <= 4000);
  clock_gettime(CLOCK_REALTIME, &after);
  check(labs(after.tv_sec + left(at_time, NULL) - due) <= 1);
  check(left(expired, NULL) == 0 && ticks(expired) == 1 && ticks(expired) == 0);
  // Those from before are not lost, and it goes on.
  check(ticks(often) >= 50);
  usleep(5000);
  check(ticks(often) >= 2);
  check(ticks(slowly) == 1 && left(slowly, &interval) > 8900 && interval == 9000);
  check(left(disarmed, &interval) == 0 && interval == 0 && ticks(disarmed) == 0);
  check(fcntl(regular, F_GETFD) == FD_CLOEXEC);
  check(ended_well(pid));
  return pass();
}
