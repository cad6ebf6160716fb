// TIOCGPTPEER with O_PATH gives the slave's name and does not open it: a lock is no hindrance, owner and mode can be read
// and set, and the master is told of no hang-up afterwards. Opening and closing it tells the master so.
#include "kernel.h"
#include <sys/sysmacros.h>
#ifndef AT_EMPTY_PATH
#define AT_EMPTY_PATH 0x1000
#endif

int main(void) {
  int master = open("/dev/ptmx", O_RDWR | O_NOCTTY), unlock = 0, number = -1;
  if (master < 0) skip("no /dev/ptmx");
  int name = ioctl(master, TIOCGPTPEER, O_PATH | O_CLOEXEC);
  struct stat st;
  holds(name >= 0 && fstat(name, &st) == 0 && S_ISCHR(st.st_mode) && ioctl(master, TIOCGPTN, &number) == 0);
  holds((int)minor(st.st_rdev) == number);
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fd/%d", name);
  if (geteuid() == 0) holds(fchownat(name, "", 12, 34, AT_EMPTY_PATH) == 0);
  holds(chmod(path, 0624) == 0 && fstat(name, &st) == 0 && (st.st_mode & 07777) == 0624);
  close(name);
  struct pollfd look = {master, POLLIN, 0};
  holds(poll(&look, 1, 0) == 0);
  holds(ioctl(master, TIOCSPTLCK, &unlock) == 0);
  // What is typed before the slave was ever opened waits for it.
  holds(write(master, "early\n", 6) == 6);
  int slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY);
  char text[16];
  holds(slave >= 0 && read(slave, text, sizeof text) == 6);
  close(slave);
  holds(poll(&look, 1, 0) == 1 && (look.revents & POLLHUP));
  return 0;
}
