// What CRIU can hold of terminals, too: raw pairs with data on its way, whole lines, settings, window size, a slave's
// owner, several opens of one end, and a session on a terminal of which its leader has a descriptor.
// kinds: tty/*
#include "pty.h"
#include <poll.h>

/** As programs have opened a slave since before TIOCGPTPEER: by its path. */
static struct pair open_by_path(void) {
  struct pair pair = {.master = open("/dev/ptmx", O_RDWR | O_NOCTTY)};
  int unlock = 0;
  unsigned number;
  char name[32];
  must(pair.master >= 0 && ioctl(pair.master, TIOCSPTLCK, &unlock) == 0 && ioctl(pair.master, TIOCGPTN, &number) == 0);
  snprintf(name, sizeof name, "/dev/pts/%u", number);
  pair.slave = open(name, O_RDWR | O_NOCTTY);
  must(pair.slave >= 0);
  return pair;
}

static struct pair controlling;

static void session(void *unused) {
  (void)unused;
  close(controlling.master);
  must(setsid() == getpid() && ioctl(controlling.slave, TIOCSCTTY, 0) == 0);
  prepared();
  wait_for_go();
  check(tcgetsid(controlling.slave) == getpid() && tcgetpgrp(controlling.slave) == getpid());
  int tty = open("/dev/tty", O_RDWR);
  check(tty >= 0 && write(tty, "mine", 4) == 4);
}

int main(int argc, char **argv) {
  start(argc, argv);
  struct termios mode, seen;
  struct winsize size = {.ws_row = 41, .ws_col = 137}, size_seen;
  struct pair raw = open_by_path();
  must(tcgetattr(raw.slave, &mode) == 0);
  cfmakeraw(&mode);
  mode.c_cc[VMIN] = 3;
  must(tcsetattr(raw.slave, TCSANOW, &mode) == 0 && tcgetattr(raw.slave, &mode) == 0);
  must(ioctl(raw.slave, TIOCSWINSZ, &size) == 0 && fchown(raw.slave, 12, 34) == 0);
  must(write(raw.slave, "to the master", 13) == 13 && write(raw.master, "to the slave", 12) == 12);
  int again = open(ttyname(raw.slave), O_RDONLY | O_NOCTTY | O_NONBLOCK);
  must(again >= 0);
  struct pair lines = open_by_path();
  struct pollfd typed = {lines.slave, POLLIN, 0};
  must(tcgetattr(lines.slave, &seen) == 0);
  seen.c_lflag &= ~(tcflag_t)ECHO;
  must(tcsetattr(lines.slave, TCSANOW, &seen) == 0);
  must(write(lines.master, "one\ntwo\n", 8) == 8 && poll(&typed, 1, 1000) == 1);
  controlling = open_by_path();
  pid_t child = fork_child(session, NULL);
  close(controlling.slave);
  await_prepared(1);
  ready();
  wait_for_go();
  struct stat st;
  check(tcgetattr(raw.slave, &seen) == 0 && memcmp(&seen, &mode, sizeof seen) == 0);
  check(ioctl(again, TIOCGWINSZ, &size_seen) == 0 && memcmp(&size, &size_seen, sizeof size) == 0);
  check(fstat(again, &st) == 0 && st.st_uid == 12 && st.st_gid == 34);
  check(gets_text(again, "to the ") && gets_text(raw.slave, "slave") && gets_text(raw.master, "to the master"));
  char line[16] = "";
  check(read(lines.slave, line, sizeof line) == 4 && memcmp(line, "one\n", 4) == 0);
  check(read(lines.slave, line, sizeof line) == 4 && memcmp(line, "two\n", 4) == 0);
  check(gets_text(controlling.master, "mine"));
  check(ended_well(child));
  return pass();
}
