// Terminals of all origins in one tree: the shell's own, with /dev/tty beside it, when it is started as a job; any number
// that further arguments name, each opened twice; a pair with unread data; and a session on a pair inside the tree, with
// a /dev/tty that is another terminal than the shell's.
// kinds: tty/*
// alone: its terminals need options, see test/conformance/tty-outside.test.ts
#include "pty.h"
#include <poll.h>

enum { MAX = 128 };

static struct pair inner;

static void session(void *unused) {
  (void)unused;
  must(setsid() == getpid() && ioctl(inner.slave, TIOCSCTTY, 0) == 0);
  close(inner.master);
  int tty = open("/dev/tty", O_RDWR);
  must(tty >= 0);
  prepared();
  wait_for_go();
  check(tcgetsid(tty) == getpid() && write(tty, "inner\n", 6) == 6);
}

int main(int argc, char **argv) {
  start(argc, argv);
  int count = argc > 2 ? argc - 2 : 0, first[MAX], second[MAX];
  must(count <= MAX);
  int tty = open("/dev/tty", O_RDWR);
  for (int i = 0; i < count; i++) {
    first[i] = open(argv[2 + i], O_RDWR | O_NOCTTY);
    second[i] = open(argv[2 + i], O_RDWR | O_NOCTTY | O_NONBLOCK);
    must(first[i] >= 0 && second[i] >= 0);
  }
  struct pair pair = open_pair();
  struct pollfd echoed = {pair.slave, POLLIN, 0};
  must(write(pair.master, "typed\n", 6) == 6 && poll(&echoed, 1, 1000) == 1 && write(pair.slave, "shown", 5) == 5);
  inner = open_pair();
  pid_t child = fork_child(session, NULL);
  await_prepared(1);
  ready();
  wait_for_go();

  char text[32];
  for (int i = 0; i < count; i++) {
    check(!(fcntl(first[i], F_GETFL) & O_NONBLOCK) && (fcntl(second[i], F_GETFL) & O_NONBLOCK));
    check(dprintf(first[i], "<first %d>", i) > 0 && dprintf(second[i], "<second %d>", i) > 0);
  }
  if (tty >= 0) {
    check(write(tty, "<job>", 5) == 5);
    int again = open("/dev/tty", O_RDWR);
    check(again >= 0 && write(again, "<again>", 7) == 7);
    check(tcgetsid(tty) == getsid(0) && tcgetsid(0) == getsid(0) && tcgetpgrp(again) == getpgrp());
    check(write(1, "<out>", 5) == 5);
  }
  check(gets_text(pair.slave, "typed\n") && gets_text(pair.master, "typed\r\nshown"));
  check(gets_text(inner.master, "inner\r\n"));
  check(ended_well(child));
  snprintf(text, sizeof text, "%d done", count);
  check(write(pair.slave, text, strlen(text)) > 0);
  return pass();
}
