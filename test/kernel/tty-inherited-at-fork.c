// A task gets its controlling terminal from its parent, at its birth. What the leader of its session takes later does not
// reach it. And when the leader of the session ends, the terminal of a pty is free, and not hung up.
#include "kernel.h"
#include <termios.h>

static int terminal_of(pid_t pid) {
  char path[64], line[512];
  snprintf(path, sizeof path, "/proc/%d/stat", pid);
  int fd = open(path, O_RDONLY), tty = -1;
  ssize_t n = read(fd, line, sizeof line - 1);
  close(fd);
  holds(n > 0);
  line[n] = 0;
  holds(sscanf(strrchr(line, ')') + 2, "%*c %*d %*d %*d %d", &tty) == 1);
  return tty;
}

static void waits(void) { pause(); }

int main(void) {
  int master = open("/dev/ptmx", O_RDWR | O_NOCTTY), unlock = 0;
  if (master < 0) skip("no /dev/ptmx");
  holds(ioctl(master, TIOCSPTLCK, &unlock) == 0);
  int slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY), fds[2];
  holds(slave >= 0 && pipe(fds) == 0);
  pid_t leader = fork();
  if (leader == 0) {
    holds(setsid() == getpid());
    pid_t before = child_of(waits);
    holds(ioctl(slave, TIOCSCTTY, 0) == 0);
    pid_t after = child_of(waits);
    holds(terminal_of(getpid()) != 0 && terminal_of(after) == terminal_of(getpid()) && terminal_of(before) == 0);
    // A member of the session cannot take it either.
    holds(write(fds[1], "x", 1) == 1);
    pause();
  }
  char byte;
  close(fds[1]);
  if (read(fds[0], &byte, 1) != 1) return ended(leader) == 0 ? 1 : 1;
  pid_t sid = 0;
  holds(ioctl(slave, TIOCGSID, &sid) == -1 && errno == ENOTTY);
  // The master tells everybody.
  holds(ioctl(master, TIOCGSID, &sid) == 0 && sid == leader);
  kill(leader, SIGKILL);
  ended(leader);
  struct termios settings;
  holds(ioctl(master, TIOCGSID, &sid) == -1 && errno == ENOTTY);
  holds(tcgetattr(slave, &settings) == 0);
  return 0;
}
