// Character devices that hold no state of their own.
// kinds: fd/regular
#include "workload.h"

int main(int argc, char **argv) {
  start(argc, argv);
  int null_fd = open("/dev/null", O_RDWR), zero = open("/dev/zero", O_RDONLY), full = open("/dev/full", O_WRONLY | O_CLOEXEC);
  int random = open("/dev/random", O_RDONLY | O_NONBLOCK), urandom = open("/dev/urandom", O_RDWR);
  must(null_fd >= 0 && zero >= 0 && full >= 0 && random >= 0 && urandom >= 0);
  int copy = dup(null_fd);
  ready();
  wait_for_go();
  unsigned char bytes[64], none[64] = {0};
  check(write(null_fd, "x", 1) == 1 && read(null_fd, bytes, 1) == 0 && write(copy, "y", 1) == 1);
  memset(bytes, 7, sizeof bytes);
  check(read(zero, bytes, 64) == 64 && memcmp(bytes, none, 64) == 0);
  check(write(full, "x", 1) == -1 && errno == ENOSPC && fcntl(full, F_GETFD) == FD_CLOEXEC);
  check(read(random, bytes, 64) == 64 && memcmp(bytes, none, 64) != 0);
  check(read(urandom, bytes, 64) == 64 && memcmp(bytes, none, 64) != 0);
  check((fcntl(random, F_GETFL) & (O_NONBLOCK | O_ACCMODE)) == (O_NONBLOCK | O_RDONLY));
  return pass();
}
