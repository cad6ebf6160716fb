// TIOCGPTPEER opens the other end of a pseudo-terminal by its master alone: no path, whatever is mounted at /dev/pts.
#include "kernel.h"
#include <termios.h>

int main(void) {
  int master = open("/dev/ptmx", O_RDWR | O_NOCTTY), unlock = 0, locked = 1;
  if (master < 0) skip("no /dev/ptmx");
  holds(ioctl(master, TIOCGPTLCK, &locked) == 0 && locked == 1);
  holds(ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY) == -1 && errno == EIO);
  holds(ioctl(master, TIOCSPTLCK, &unlock) == 0);
  holds(chroot("/proc/self/fdinfo") == 0);
  int slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC), second = ioctl(master, TIOCGPTPEER, O_RDONLY | O_NOCTTY | O_NONBLOCK);
  holds(slave >= 0 && second >= 0 && isatty(slave));
  holds(fcntl(slave, F_GETFD) == FD_CLOEXEC && (fcntl(second, F_GETFL) & (O_ACCMODE | O_NONBLOCK)) == (O_RDONLY | O_NONBLOCK));
  char byte = 0;
  holds(write(master, "x\n", 2) == 2 && read(slave, &byte, 1) == 1 && byte == 'x');
  return 0;
}
