// open takes O_CLOEXEC for the descriptor only. TIOCGPTPEER leaves it among the flags of the description too: then F_GETFL
// tells it, and fdinfo shows every descriptor of that description as one that exec closes, though F_GETFD says no.
#include "kernel.h"

static unsigned flags_of(int fd) {
  char path[64], text[256];
  unsigned flags = 0;
  snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
  int info = open(path, O_RDONLY);
  ssize_t n = read(info, text, sizeof text - 1);
  close(info);
  holds(n > 0);
  text[n] = 0;
  holds(sscanf(strstr(text, "flags:"), "flags: %o", &flags) == 1);
  return flags;
}

int main(void) {
  int master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC), unlock = 0;
  if (master < 0) skip("no /dev/ptmx");
  holds(ioctl(master, TIOCSPTLCK, &unlock) == 0);
  int slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC), copy = dup(slave), other = dup(master);
  holds(fcntl(copy, F_GETFD) == 0 && fcntl(other, F_GETFD) == 0);
  holds(!(fcntl(other, F_GETFL) & O_CLOEXEC) && !(flags_of(other) & O_CLOEXEC));
  holds((fcntl(copy, F_GETFL) & O_CLOEXEC) && (flags_of(copy) & O_CLOEXEC));
  // Opened without it, and closed by exec nonetheless.
  int plain = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY);
  holds(fcntl(plain, F_SETFD, FD_CLOEXEC) == 0 && !(fcntl(plain, F_GETFL) & O_CLOEXEC) && (flags_of(plain) & O_CLOEXEC));
  return 0;
}
