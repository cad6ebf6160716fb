// Descriptors of terminals and their flags. TIOCGPTPEER with O_CLOEXEC leaves that among the flags of the description, so
// fdinfo shows every dup of it as one that exec closes: stdin, stdout and stderr that systemd makes so are none.
// kinds: tty/*
#include "workload.h"

static int flags_of(int fd) { return fcntl(fd, F_GETFL) & (O_CLOEXEC | O_NONBLOCK | O_ACCMODE); }

int main(int argc, char **argv) {
  start(argc, argv);
  int master = open("/dev/ptmx", O_RDWR | O_NOCTTY), unlock = 0, fds[6];
  must(master >= 0 && ioctl(master, TIOCSPTLCK, &unlock) == 0);
  fds[0] = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
  fds[1] = dup(fds[0]);
  fds[2] = fcntl(fds[0], F_DUPFD_CLOEXEC, 0);
  fds[3] = ioctl(master, TIOCGPTPEER, O_RDONLY | O_NOCTTY);
  fds[4] = fcntl(fds[3], F_DUPFD_CLOEXEC, 0);
  fds[5] = ioctl(master, TIOCGPTPEER, O_WRONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
  must(fcntl(fds[5], F_SETFD, 0) == 0);
  int descriptors[COUNT(fds)], flags[COUNT(fds)];
  for (size_t i = 0; i < COUNT(fds); i++) {
    must(fds[i] >= 0);
    descriptors[i] = fcntl(fds[i], F_GETFD);
    flags[i] = flags_of(fds[i]);
  }
  must(descriptors[0] == FD_CLOEXEC && descriptors[1] == 0 && descriptors[2] == FD_CLOEXEC && descriptors[5] == 0);
  ready();
  wait_for_go();
  for (size_t i = 0; i < COUNT(fds); i++) {
    check(fcntl(fds[i], F_GETFD) == descriptors[i]);
    check(flags_of(fds[i]) == flags[i]);
  }
  check(fcntl(master, F_GETFD) == 0);
  // What exec keeps is what a program started from here has.
  pid_t child = fork();
  if (child == 0) {
    char command[256];
    snprintf(command, sizeof command, "[ ! -e /proc/self/fd/%d ] && [ -t %d ] && [ ! -e /proc/self/fd/%d ] && [ -t %d ] && [ ! -e /proc/self/fd/%d ] && [ -t %d ]",
             fds[0], fds[1], fds[2], fds[3], fds[4], fds[5]);
    execl("/bin/sh", "sh", "-c", command, NULL);
    _exit(127);
  }
  check(ended_well(child));
  return pass();
}
