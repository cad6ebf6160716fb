// A program on a terminal that is named by its argument, and that hangs up before the dump, or does not. It says
// `prepared` when it has heard of that.
// kinds: tty/*
// alone: its terminal needs options, see test/conformance/tty-corners.test.ts
#include "workload.h"
#include <termios.h>

static void on_hang_up(int sig) { (void)sig, prepared(); }

int main(int argc, char **argv) {
  start(argc, argv);
  if (argc < 3) {
    ready();
    wait_for_go();
    return pass();
  }
  must(getsid(0) == getpid() || setsid() == getpid());
  struct sigaction action = {.sa_handler = on_hang_up, .sa_flags = SA_RESTART};
  must(sigaction(SIGHUP, &action, NULL) == 0);
  int fd = open(argv[2], O_RDWR);
  must(fd >= 0 && tcgetsid(fd) == getpid());
  ready();
  wait_for_go();
  struct termios settings;
  char byte;
  // Still hung up, it reads as ended; any other takes what is written.
  if (tcgetattr(fd, &settings) == 0) check(write(fd, "on\n", 3) == 3);
  else check(read(fd, &byte, 1) == 0 && write(fd, "x", 1) == -1 && errno == EIO);
  return pass();
}
