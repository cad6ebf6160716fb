// An entry with EPOLLONESHOT that has fired keeps nothing but how it watches, and is silent whatever happens. To add an
// entry so arms it for errors and hang-ups; if there is one already, it fires at once and is silent again.
#include "kernel.h"
#include <sys/epoll.h>

static unsigned events_of(int epoll) {
  char path[64], text[1024];
  snprintf(path, sizeof path, "/proc/self/fdinfo/%d", epoll);
  int info = open(path, O_RDONLY);
  ssize_t n = read(info, text, sizeof text - 1);
  holds(n > 0);
  text[n] = 0;
  close(info);
  unsigned events = 0;
  holds(sscanf(strstr(text, "events:"), "events: %x", &events) == 1);
  return events;
}

int main(void) {
  int ends[2], epoll = epoll_create1(0), anew = epoll_create1(0);
  holds(pipe(ends) == 0 && write(ends[1], "x", 1) == 1);
  struct epoll_event event = {EPOLLIN | EPOLLONESHOT, {.u64 = 1}}, got;
  holds(epoll_ctl(epoll, EPOLL_CTL_ADD, ends[0], &event) == 0 && events_of(epoll) == (EPOLLIN | EPOLLERR | EPOLLHUP | EPOLLONESHOT));
  holds(epoll_wait(epoll, &got, 1, 0) == 1 && events_of(epoll) == EPOLLONESHOT);
  event.events = EPOLLONESHOT;
  holds(epoll_ctl(anew, EPOLL_CTL_ADD, ends[0], &event) == 0 && events_of(anew) == (EPOLLERR | EPOLLHUP | EPOLLONESHOT));
  holds(epoll_wait(anew, &got, 1, 0) == 0);
  close(ends[1]);
  holds(epoll_wait(epoll, &got, 1, 0) == 0);
  holds(epoll_wait(anew, &got, 1, 0) == 1 && events_of(anew) == EPOLLONESHOT && epoll_wait(anew, &got, 1, 0) == 0);
  return 0;
}
