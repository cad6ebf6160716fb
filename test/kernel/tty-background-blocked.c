// A process in the background, in a group that nobody looks after, may set its controlling terminal, and which group that
// shows, while SIGTTOU is blocked. With the signal unblocked it may not.
#include "kernel.h"
#include <termios.h>

static int slave, told[2];

static void set_all(pid_t leader) {
  holds(setpgid(0, 0) == 0);
  // The one between has ended: from here on nobody in our session is our parent.
  while (getpgid(getppid()) == leader && getsid(getppid()) == leader) usleep(1000);
  struct termios settings;
  holds(tcgetpgrp(slave) == leader && tcgetattr(slave, &settings) == 0);
  settings.c_lflag &= ~(tcflag_t)ECHO;
  holds(tcsetattr(slave, TCSANOW, &settings) == -1 && errno == EIO);
  sigset_t all;
  sigfillset(&all);
  holds(sigprocmask(SIG_BLOCK, &all, NULL) == 0);
  holds(tcsetattr(slave, TCSANOW, &settings) == 0);
  holds(tcsetpgrp(slave, getpid()) == 0 && tcgetpgrp(slave) == getpid());
  holds(tcsetpgrp(slave, leader) == 0);
  holds(write(told[1], "x", 1) == 1);
}

static void lead(void) {
  pid_t leader = setsid();
  holds(leader == getpid() && ioctl(slave, TIOCSCTTY, 0) == 0 && pipe(told) == 0);
  pid_t between = fork();
  holds(between >= 0);
  if (between == 0) {
    pid_t last = fork();
    if (last == 0) set_all(leader);
    _exit(0);
  }
  holds(ended(between) == 0);
  close(told[1]);
  char byte;
  struct termios settings;
  holds(read(told[0], &byte, 1) == 1 && tcgetattr(slave, &settings) == 0 && (settings.c_lflag & ECHO) == 0);
}

int main(void) {
  int unlock = 0, master = open("/dev/ptmx", O_RDWR | O_NOCTTY);
  if (master < 0) skip("no /dev/ptmx");
  holds(ioctl(master, TIOCSPTLCK, &unlock) == 0);
  holds((slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY)) >= 0);
  holds(ended(child_of(lead)) == 0);
  return 0;
}
