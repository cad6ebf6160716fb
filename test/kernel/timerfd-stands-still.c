// A timerfd with an interval stands still once it has expired: fdinfo shows one tick and nothing left, whatever time goes by.
// timerfd_gettime makes it go on, with all expirations counted and none lost. TFD_IOC_SET_TICKS stays behind the arming.
#include "kernel.h"
#include <sys/timerfd.h>

#define SET_TICKS _IOW('T', 0, uint64_t)

static void look(int fd, long *ticks, long *seconds, long *nanoseconds) {
  char path[64], text[1024];
  snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
  int info = open(path, O_RDONLY);
  ssize_t n = read(info, text, sizeof text - 1);
  holds(n > 0);
  text[n] = 0;
  close(info);
  holds(sscanf(strstr(text, "ticks:"), "ticks: %ld", ticks) == 1);
  holds(sscanf(strstr(text, "it_value:"), "it_value: (%ld, %ld)", seconds, nanoseconds) == 2);
}

int main(void) {
  int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
  struct itimerspec its = {{0, 10000000}, {0, 1000000}}, now;
  holds(timerfd_settime(fd, 0, &its, NULL) == 0);
  usleep(105000);
  long ticks, seconds, nanoseconds;
  look(fd, &ticks, &seconds, &nanoseconds);
  holds(ticks == 1 && seconds == 0 && nanoseconds == 0);
  holds(timerfd_gettime(fd, &now) == 0 && now.it_value.tv_nsec > 0);
  look(fd, &ticks, &seconds, &nanoseconds);
  holds(ticks >= 10);
  uint64_t count = 0;
  holds(read(fd, &count, 8) == 8 && count >= 10);

  uint64_t wanted = 77;
  holds(timerfd_settime(fd, 0, &(struct itimerspec){{5000, 0}, {5000, 0}}, NULL) == 0);
  if (ioctl(fd, SET_TICKS, &wanted) != 0) skip("this kernel has no CONFIG_CHECKPOINT_RESTORE");
  look(fd, &ticks, &seconds, &nanoseconds);
  holds(ticks == 77 && seconds > 4900);
  holds(read(fd, &count, 8) == 8 && count == 77);
  return 0;
}
