// A program on a terminal that is not its own: stdin, stdout, stderr and controlling terminal at once, in raw mode.
// A second argument names the terminal; without it the program makes one, so that it can run by itself.
// kinds: tty/*
// alone: its terminal needs options, see test/conformance/tty-external.test.ts
#include "workload.h"
#include <termios.h>

int main(int argc, char **argv) {
  start(argc, argv);
  char own[64];
  int master = -1;
  const char *terminal = argv[2];
  if (argc < 3) {
    int unlock = 0;
    unsigned number;
    master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
    must(master >= 0 && ioctl(master, TIOCSPTLCK, &unlock) == 0 && ioctl(master, TIOCGPTN, &number) == 0);
    snprintf(own, sizeof own, "/dev/pts/%u", number);
    terminal = own;
  }
  must(getsid(0) == getpid() || setsid() == getpid());
  int fd = open(terminal, O_RDWR);
  must(fd >= 0);
  for (int i = 0; i < 3; i++) must(dup2(fd, i) == i);
  if (fd > 2) close(fd);
  must(tcgetsid(0) == getpid() && tcgetpgrp(0) == getpid());
  struct termios mode, seen;
  must(tcgetattr(0, &mode) == 0);
  cfmakeraw(&mode);
  must(tcsetattr(0, TCSANOW, &mode) == 0 && tcgetattr(0, &mode) == 0);
  must(write(1, "before\r\n", 8) == 8);
  ready();
  wait_for_go();
  check(tcgetsid(0) == getpid() && tcgetpgrp(0) == getpid());
  check(tcgetattr(0, &seen) == 0 && memcmp(&mode, &seen, sizeof mode) == 0);
  struct stat by_name, by_fd;
  check(fstat(0, &by_fd) == 0 && stat("/dev/tty", &by_name) == 0 && S_ISCHR(by_fd.st_mode));
  int tty = open("/dev/tty", O_RDWR);
  check(tty >= 0 && write(tty, "after\r\n", 7) == 7);
  // The harness answers on the terminal where it is now.
  char answer[8] = "";
  if (argc >= 3) check(read(0, answer, 3) == 3 && strcmp(answer, "yes") == 0);
  check(write(2, "end\r\n", 5) == 5);
  return pass();
}
