// A master is hung up while nobody has the slave open, and poll(2) returns at once. As long as anybody has it open, be it who
// never uses it, poll waits; what was written before the end is read before EIO is.
#include "kernel.h"

int main(void) {
  int unlock = 0, master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK);
  if (master < 0) skip("no /dev/ptmx");
  holds(ioctl(master, TIOCSPTLCK, &unlock) == 0);
  int held = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY), used = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY);
  holds(held >= 0 && used >= 0);
  struct pollfd look = {master, POLLIN, 0};
  char got[8];
  holds(write(used, "last", 4) == 4 && close(used) == 0);
  holds(poll(&look, 1, 1000) == 1 && look.revents == POLLIN && read(master, got, sizeof got) == 4);
  holds(poll(&look, 1, 20) == 0 && read(master, got, sizeof got) == -1 && errno == EAGAIN);
  holds(write(held, "last", 4) == 4 && close(held) == 0);
  holds(poll(&look, 1, 0) == 1 && (look.revents & POLLHUP) && read(master, got, sizeof got) == 4);
  holds(poll(&look, 1, 0) == 1 && look.revents == POLLHUP && read(master, got, sizeof got) == -1 && errno == EIO);
  return 0;
}
