// A signalfd in an epoll wakes for the signals of the process that added it, and for nobody else's.
#include "kernel.h"
#include <sys/epoll.h>
#include <sys/signalfd.h>

static int by_us, by_child, signals, go[2];

static void watch(int epoll) {
  struct epoll_event event = {EPOLLIN, {.u64 = 1}};
  holds(epoll_ctl(epoll, EPOLL_CTL_ADD, signals, &event) == 0);
}

static void child(void) {
  watch(by_child);
  char byte;
  holds(read(go[0], &byte, 1) == 1);
  struct epoll_event event;
  // It looks for itself: its signals are there, and yet the one that it did not add has not been woken.
  holds(kill(getpid(), SIGUSR1) == 0);
  holds(epoll_wait(by_us, &event, 1, 50) == 0);
  holds(epoll_wait(by_child, &event, 1, 1000) == 1);
}

int main(void) {
  sigset_t set;
  sigemptyset(&set), sigaddset(&set, SIGUSR1);
  sigprocmask(SIG_BLOCK, &set, NULL);
  signals = signalfd(-1, &set, 0), by_us = epoll_create1(0), by_child = epoll_create1(0);
  watch(by_us);
  holds(pipe(go) == 0);
  pid_t pid = child_of(child);
  holds(write(go[1], "x", 1) == 1);
  holds(ended(pid) == 0);
  return 0;
}
