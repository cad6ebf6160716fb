// Eventfds: with a count, one of more than 32 bits, empty, not blocking, counting down by one, shared with a child that
// waits for it.
// kinds: fd/eventfd
#include "workload.h"
#include <sys/eventfd.h>

static int empty;

static void child(void *unused) {
  (void)unused;
  prepared();
  uint64_t count = 0;
  // Blocked here while it is dumped.
  check(read(empty, &count, 8) == 8 && count == 5);
}

int main(int argc, char **argv) {
  start(argc, argv);
  int full = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), most = eventfd(0, EFD_NONBLOCK);
  must(full >= 0 && eventfd_write(full, 1ull << 40) == 0 && eventfd_write(most, UINT64_MAX - 1) == 0);
  int semaphore = eventfd(2, EFD_SEMAPHORE | EFD_NONBLOCK);
  empty = eventfd(0, 0);
  int copy = fcntl(empty, F_DUPFD, 300);
  pid_t pid = fork_child(child, NULL);
  await_prepared(1);
  usleep(20000);
  ready();
  wait_for_go();
  uint64_t count = 0, one = 1;
  check(read(full, &count, 8) == 8 && count == 1ull << 40);
  check(read(full, &count, 8) == -1 && errno == EAGAIN && fcntl(full, F_GETFD) == FD_CLOEXEC);
  check(write(most, &one, 8) == -1 && errno == EAGAIN);
  check(read(most, &count, 8) == 8 && count == UINT64_MAX - 1);
  for (int i = 0; i < 2; i++) check(read(semaphore, &count, 8) == 8 && count == 1);
  check(read(semaphore, &count, 8) == -1 && errno == EAGAIN);
  check(eventfd_write(copy, 5) == 0);
  check(ended_well(pid));
  return pass();
}
