// Terminals that are devices of the machine: consoles, virtual terminals, serial lines. Arguments name them; the first one
// is the controlling terminal of the program's session, with a descriptor of /dev/tty beside it. Without arguments it
// takes what there is.
// kinds: tty/*
// alone: its terminals are those of the machine, see test/conformance/tty-lines.test.ts
#include "workload.h"
#include <sys/sysmacros.h>
#include <termios.h>

enum { MAX = 16 };

// Nobody reads what is written there. What is written to a console would be seen.
static bool is_private(const struct stat *st) {
  return major(st->st_rdev) == 136 || (major(st->st_rdev) == 4 && minor(st->st_rdev) < 64);
}

int main(int argc, char **argv) {
  start(argc, argv);
  int count = argc - 2, first[MAX], second[MAX];
  if (count < 1) {
    ready();
    wait_for_go();
    return pass();
  }
  must(count <= MAX && (getsid(0) == getpid() || setsid() == getpid()));
  struct termios before[MAX], set[MAX], seen;
  for (int i = 0; i < count; i++) {
    first[i] = open(argv[2 + i], O_RDWR | O_NONBLOCK | (i == 0 ? 0 : O_NOCTTY));
    second[i] = open(argv[2 + i], O_RDONLY | O_NOCTTY | O_NONBLOCK);
    must(first[i] >= 0 && second[i] >= 0 && tcgetattr(first[i], &before[i]) == 0);
    set[i] = before[i];
    set[i].c_cc[VEOL2] = (cc_t)('A' + i);
    set[i].c_lflag &= ~(tcflag_t)ECHO;
    must(tcsetattr(first[i], TCSANOW, &set[i]) == 0);
  }
  must(tcgetsid(first[0]) == getpid());
  int tty = open("/dev/tty", O_RDWR | O_NONBLOCK);
  must(tty >= 0);
  ready();
  wait_for_go();
  for (int i = 0; i < count; i++) {
    struct stat one, two;
    check(tcgetattr(second[i], &seen) == 0 && seen.c_cc[VEOL2] == 'A' + i && !(seen.c_lflag & ECHO));
    check((fcntl(first[i], F_GETFL) & O_ACCMODE) == O_RDWR && (fcntl(second[i], F_GETFL) & O_ACCMODE) == O_RDONLY);
    check(fstat(first[i], &one) == 0 && fstat(second[i], &two) == 0 && one.st_rdev == two.st_rdev);
    char text[64];
    snprintf(text, sizeof text, "%u:%u\n", major(one.st_rdev), minor(one.st_rdev));
    append("prepared", text);
    if (is_private(&one)) check(dprintf(first[i], "<line %d>", i) > 0);
  }
  check(tcgetsid(first[0]) == getpid() && tcgetpgrp(tty) == getpid() && tcgetsid(tty) == getpid());
  int again = open("/dev/tty", O_RDWR | O_NONBLOCK);
  struct stat st;
  check(again >= 0 && fstat(first[0], &st) == 0);
  if (is_private(&st)) check(dprintf(tty, "<tty>") > 0 && dprintf(again, "<again>") > 0);
  // Lines outlive the program, and so would its settings.
  for (int i = 0; i < count; i++) tcsetattr(first[i], TCSANOW, &before[i]);
  return pass();
}
