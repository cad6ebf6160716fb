// Pseudo-terminal pairs inside the tree: with data on its way in both directions, raw and cooked modes, window size, locked
// termios, several opens of one end, a controlling terminal with a foreground group, a master alone.
// kinds: tty/*
#include "pty.h"

static int queued(int fd) {
  int n = -1;
  ioctl(fd, FIONREAD, &n);
  return n;
}

static struct pair controlling;

// A shell's part: it leads a session on a terminal that its parent serves, with a foreground group of its own.
static void session(void *unused) {
  (void)unused;
  close(controlling.master);
  must(setsid() == getpid());
  must(ioctl(controlling.slave, TIOCSCTTY, 0) == 0);
  for (int i = 0; i < 3; i++) must(dup2(controlling.slave, i) == i);
  pid_t job = fork();
  must(job >= 0);
  if (job == 0) {
    must(setpgid(0, 0) == 0);
    prepared();
    wait_for_go();
    check(tcgetpgrp(0) == getpid() && tcgetsid(0) == getppid());
    int tty = open("/dev/tty", O_RDWR);
    check(tty >= 0 && write(tty, "job\n", 4) == 4);
    child_end();
  }
  while (getpgid(job) != job) usleep(500);
  signal(SIGTTOU, SIG_IGN);
  must(tcsetpgrp(0, job) == 0);
  prepared();
  wait_for_go();
  check(tcgetpgrp(0) == job && tcgetsid(0) == getpid());
  check(ended_well(job));
  check(tcsetpgrp(0, getpid()) == 0);
  char line[16] = "";
  check(read(0, line, sizeof line) == 5 && strcmp(line, "line\n") == 0);
  check(write(1, "heard\n", 6) == 6);
}

int main(int argc, char **argv) {
  start(argc, argv);
  struct termios raw, cooked, locked, seen;
  struct winsize size = {.ws_row = 41, .ws_col = 137, .ws_xpixel = 800, .ws_ypixel = 600}, size_seen;

  struct pair a = open_pair();
  must(tcgetattr(a.slave, &raw) == 0);
  cfmakeraw(&raw);
  raw.c_cc[VMIN] = 3;
  raw.c_cc[VTIME] = 7;
  cfsetspeed(&raw, B9600);
  must(tcsetattr(a.slave, TCSANOW, &raw) == 0 && tcgetattr(a.slave, &raw) == 0);
  must(ioctl(a.slave, TIOCSWINSZ, &size) == 0);
  must(write(a.slave, "to the master", 13) == 13);
  must(write(a.master, "to the slave", 12) == 12);
  int again = ioctl(a.master, TIOCGPTPEER, O_RDONLY | O_NOCTTY | O_NONBLOCK), copy = dup(a.slave);
  must(again >= 0 && fcntl(a.master, F_SETFL, O_NONBLOCK) == 0);

  struct pair b = open_pair();
  must(tcgetattr(b.slave, &cooked) == 0);
  cooked.c_cc[VINTR] = 5;
  cooked.c_lflag &= ~(tcflag_t)ECHO;
  must(tcsetattr(b.slave, TCSANOW, &cooked) == 0 && tcgetattr(b.slave, &cooked) == 0);
  memset(&locked, 0, sizeof locked);
  locked.c_lflag = ECHO;
  must(ioctl(b.slave, TIOCSLCKTRMIOS, &locked) == 0);
  must(write(b.master, "whole line\n", 11) == 11);
  fcntl(b.slave, F_SETFD, FD_CLOEXEC);
  unsigned number = 99, number_after = 98;
  must(ioctl(b.master, TIOCGPTN, &number) == 0);

  int alone = open("/dev/ptmx", O_RDWR | O_NOCTTY);
  must(alone >= 0);
  controlling = open_pair();
  pid_t child = fork_child(session, NULL);
  close(controlling.slave);
  await_prepared(2);
  ready();
  wait_for_go();

  check(tcgetattr(a.slave, &seen) == 0 && memcmp(&seen, &raw, sizeof seen) == 0);
  check(ioctl(again, TIOCGWINSZ, &size_seen) == 0 && memcmp(&size, &size_seen, sizeof size) == 0);
  check(queued(a.slave) == 12 && gets_text(again, "to the ") && gets_text(copy, "slave"));
  check(gets_text(a.master, "to the master"));
  char byte;
  check(read(a.master, &byte, 1) == -1 && errno == EAGAIN && read(again, &byte, 1) == -1 && errno == EAGAIN);
  check(write(again, "x", 1) == -1 && errno == EBADF);

  check(tcgetattr(b.slave, &seen) == 0 && memcmp(&seen, &cooked, sizeof seen) == 0);
  struct termios locked_seen;
  check(ioctl(b.slave, TIOCGLCKTRMIOS, &locked_seen) == 0 && (locked_seen.c_lflag & ECHO) && !(locked_seen.c_lflag & ICANON));
  check(gets_text(b.slave, "whole line\n"));
  check(ioctl(b.master, TIOCGPTN, &number_after) == 0 && number == number_after);
  check(fcntl(b.slave, F_GETFD) == FD_CLOEXEC && fcntl(b.master, F_GETFD) == 0);
  check(ioctl(alone, TIOCGPTN, &number) == 0);

  // Echo is on there, and newlines are written as two characters.
  check(gets_text(controlling.master, "job\r\n"));
  check(write(controlling.master, "line\n", 5) == 5);
  check(gets_text(controlling.master, "line\r\nheard\r\n"));
  check(ended_well(child));
  return pass();
}
