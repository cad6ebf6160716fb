// A thread in epoll_wait(2), which answers EINTR to any stop: the thread sees it only where a handler has run.
// alone: it is run by test/conformance/interrupted.test.ts, with images as CRIU writes them
// kinds: task/x86-registers task/pending
// cc: -pthread
#include "workload.h"
#include <sys/epoll.h>
#include <sys/eventfd.h>

static volatile int handled, interrupted;
static int epoll_fd;

static void handler(int signal) {
  (void)signal;
  handled++;
}

static void *waits(void *unused) {
  (void)unused;
  struct epoll_event event;
  prepared();
  int got;
  while ((got = epoll_wait(epoll_fd, &event, 1, -1)) < 0 && errno == EINTR) interrupted++;
  check(got == 1);
  return NULL;
}

int main(int argc, char **argv) {
  start(argc, argv);
  struct sigaction action = {.sa_handler = handler};
  sigaction(SIGUSR1, &action, NULL);
  int events = eventfd(0, 0);
  epoll_fd = epoll_create1(0);
  struct epoll_event readable = {.events = EPOLLIN};
  must(events >= 0 && epoll_fd >= 0 && epoll_ctl(epoll_fd, EPOLL_CTL_ADD, events, &readable) == 0);
  pthread_t thread;
  must(pthread_create(&thread, NULL, waits, NULL) == 0);
  await_prepared(1);
  ready();
  wait_for_go();
  must(eventfd_write(events, 1) == 0);
  must(pthread_join(thread, NULL) == 0);
  check(interrupted == handled);
  // The test says which of both it has made.
  check(handled == (access(in_run("signalled"), F_OK) == 0));
  return pass();
}
