// New settings leave what is queued alone, lines and all, unless ICANON changes: then all of it becomes one line. With
// nothing queued, to leave canonical mode and to come back leaves no trace.
#include "kernel.h"
#include <termios.h>

static int master, slave;

static void type(const char *text) { holds(write(master, text, strlen(text)) == (ssize_t)strlen(text)); }

static void readable(void) {
  struct pollfd look = {slave, POLLIN, 0};
  holds(poll(&look, 1, 1000) == 1);
}

static bool reads(const char *text) {
  char got[128] = "";
  ssize_t n = read(slave, got, sizeof got - 1);
  return n == (ssize_t)strlen(text) && memcmp(got, text, (size_t)n) == 0;
}

int main(void) {
  int unlock = 0, queued = -1;
  master = open("/dev/ptmx", O_RDWR | O_NOCTTY);
  if (master < 0) skip("no /dev/ptmx");
  holds(ioctl(master, TIOCSPTLCK, &unlock) == 0);
  slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_NONBLOCK);
  struct termios usual, other, raw;
  holds(tcgetattr(slave, &usual) == 0);
  other = usual, other.c_iflag = 0, other.c_oflag = 0, other.c_lflag = ICANON, raw = usual, raw.c_lflag = 0;
  type("one\ntwo\4part");
  readable();
  holds(tcsetattr(slave, TCSANOW, &other) == 0 && tcsetattr(slave, TCSANOW, &usual) == 0);
  holds(reads("one\n") && reads("two") && read(slave, &queued, 1) == -1 && errno == EAGAIN);
  // Only outside canonical mode is the line that is being typed to be seen; and then it is a whole one.
  holds(ioctl(slave, FIONREAD, &queued) == 0 && queued == 0 && tcsetattr(slave, TCSANOW, &raw) == 0);
  holds(ioctl(slave, FIONREAD, &queued) == 0 && queued == 4 && tcsetattr(slave, TCSANOW, &usual) == 0 && reads("part"));
  for (int round = 0; round < 3000; round++) {
    holds(tcsetattr(slave, TCSANOW, &raw) == 0 && tcsetattr(slave, TCSANOW, &usual) == 0);
    holds(read(slave, &queued, 1) == -1 && errno == EAGAIN);
    type("line\n");
    readable();
    char echo[64];
    holds(reads("line\n") && read(master, echo, sizeof echo) > 0);
  }
  return 0;
}
