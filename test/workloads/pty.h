// What the workloads about terminals share.
#pragma once
#include "workload.h"
#include <termios.h>

struct pair {
  int master, slave;
};

static inline struct pair open_pair(void) {
  struct pair pair = {.master = open("/dev/ptmx", O_RDWR | O_NOCTTY)};
  int unlock = 0;
  must(pair.master >= 0 && ioctl(pair.master, TIOCSPTLCK, &unlock) == 0);
  pair.slave = ioctl(pair.master, TIOCGPTPEER, O_RDWR | O_NOCTTY);
  must(pair.slave >= 0);
  return pair;
}

/** Reads as many bytes as `text` has: whether they are these. */
static inline bool gets_text(int fd, const char *text) {
  char got[256] = "";
  size_t all = 0;
  ssize_t n;
  while (all < strlen(text) && (n = read(fd, got + all, strlen(text) - all)) > 0) all += (size_t)n;
  return strcmp(got, text) == 0;
}
