// An epoll knows what it watches by open file description and number: whoever has both files may add an entry, the number
// may be closed meanwhile, and one number may stand for several files. Another process with the description finds it by
// that number. kcmp finds which descriptor is watched, by the place among the entries of one number.
#include "kernel.h"
#include <sys/epoll.h>
#include <sys/eventfd.h>

#define KCMP_EPOLL_TFD 7

struct slot {
  uint32_t efd, tfd, toff;
};

static int epoll, one, two;

static int add(int fd, uint64_t data) {
  struct epoll_event event = {EPOLLIN, {.u64 = data}};
  return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

static bool is_slot(int fd, uint32_t number, uint32_t nth) {
  struct slot slot = {(uint32_t)epoll, number, nth};
  return syscall(SYS_kcmp, getpid(), getpid(), KCMP_EPOLL_TFD, fd, &slot) == 0;
}

static void adds(void) {
  // Two files by one number, and that number is free again.
  holds(dup2(one, 100) == 100 && add(100, 1) == 0);
  holds(dup2(two, 100) == 100 && add(100, 2) == 0 && close(100) == 0);
}

int main(void) {
  epoll = epoll_create1(0), one = eventfd(1, 0), two = eventfd(1, 0);
  holds(ended(child_of(adds)) == 0);
  struct epoll_event events[4];
  holds(epoll_wait(epoll, events, 4, 0) == 2);

  holds(is_slot(one, 100, 0) != is_slot(one, 100, 1) && is_slot(two, 100, 0) != is_slot(two, 100, 1));
  holds(is_slot(one, 100, 0) != is_slot(two, 100, 0) && !is_slot(epoll, 100, 0));
  struct slot slot = {(uint32_t)epoll, 100, 2};
  holds(syscall(SYS_kcmp, getpid(), getpid(), KCMP_EPOLL_TFD, one, &slot) == -1 && errno == ENOENT);
  slot.toff = 0;
  holds(syscall(SYS_kcmp, getpid(), getpid(), KCMP_EPOLL_TFD, 99, &slot) == -1 && errno == EBADF);

  holds(epoll_ctl(epoll, EPOLL_CTL_DEL, one, NULL) == -1 && errno == ENOENT);
  holds(dup2(two, 100) == 100 && epoll_ctl(epoll, EPOLL_CTL_DEL, 100, NULL) == 0);
  holds(epoll_wait(epoll, events, 4, 0) == 1 && events[0].data.u64 == 1);
  return 0;
}
