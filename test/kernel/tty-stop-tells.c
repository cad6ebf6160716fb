// A master in packet mode is told when a character has stopped output. Characters are processed in their order, so then
// all that were typed before it have been, whenever the kernel got to that; and it is told before it gets any data.
#include "kernel.h"
#include <termios.h>

int main(void) {
  int master = open("/dev/ptmx", O_RDWR | O_NOCTTY), unlock = 0, on = 1, off = 0, queued = 0;
  if (master < 0) skip("no /dev/ptmx");
  holds(ioctl(master, TIOCSPTLCK, &unlock) == 0);
  int slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY);
  struct termios settings;
  holds(tcgetattr(slave, &settings) == 0);
  settings.c_iflag = IXON, settings.c_oflag = 0, settings.c_lflag = 0;
  settings.c_cc[VSTOP] = 1, settings.c_cc[VSTART] = 2;
  holds(tcsetattr(slave, TCSANOW, &settings) == 0);
  for (int round = 0; round < 200; round++) {
    char data[4001], status = 0;
    memset(data, 'x', 4000);
    data[4000] = 1;
    holds(ioctl(master, TIOCPKT, &on) == 0);
    holds(write(master, data, sizeof data) == sizeof data);
    holds(read(master, &status, 1) == 1 && status == TIOCPKT_STOP);
    holds(ioctl(slave, FIONREAD, &queued) == 0 && queued == 4000);
    holds(write(master, "\2", 1) == 1);
    holds(read(master, &status, 1) == 1 && status == TIOCPKT_START);
    holds(read(slave, data, sizeof data) == 4000);
    holds(ioctl(master, TIOCPKT, &off) == 0);
  }
  // Status that was not read is forgotten when packet mode is set.
  struct pollfd look = {master, POLLIN | POLLPRI, 0};
  holds(ioctl(master, TIOCPKT, &on) == 0 && tcflow(slave, TCOOFF) == 0 && tcflow(slave, TCOON) == 0);
  holds(poll(&look, 1, 0) == 1 && (look.revents & POLLPRI));
  holds(ioctl(master, TIOCPKT, &off) == 0 && ioctl(master, TIOCPKT, &on) == 0 && poll(&look, 1, 0) == 0);
  return 0;
}
