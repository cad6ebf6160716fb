// Opening /proc/PID/fd/N of a pipe gives a new description of either end, or of both (O_RDWR), with flags of its own. F_SETPIPE_SZ
// above the limit in /proc/sys/fs/pipe-max-size needs CAP_SYS_RESOURCE; tee copies what is in it and takes nothing.
#include "kernel.h"
#include <linux/capability.h>

int main(void) {
  int fds[2], copy[2];
  holds(pipe(fds) == 0 && pipe(copy) == 0 && write(fds[1], "abc", 3) == 3);
  char path[64], text[8] = "";
  snprintf(path, sizeof path, "/proc/self/fd/%d", fds[1]);
  int reader = open(path, O_RDONLY | O_NONBLOCK), both = open(path, O_RDWR);
  holds(reader >= 0 && both >= 0 && !(fcntl(fds[0], F_GETFL) & O_NONBLOCK));
  holds(tee(fds[0], copy[1], 100, 0) == 3 && read(copy[0], text, 8) == 3);
  holds(read(reader, text, 1) == 1 && read(both, text, 1) == 1 && read(fds[0], text, 1) == 1 && text[0] == 'c');
  holds(read(reader, text, 1) == -1 && errno == EAGAIN);
  struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct caps[2];
  holds(syscall(SYS_capget, &head, caps) == 0);
  caps[0].effective &= ~(1u << CAP_SYS_RESOURCE), caps[0].permitted &= ~(1u << CAP_SYS_RESOURCE);
  holds(syscall(SYS_capset, &head, caps) == 0);
  FILE *limit_file = fopen("/proc/sys/fs/pipe-max-size", "r");
  int limit = 0;
  holds(limit_file && fscanf(limit_file, "%d", &limit) == 1);
  holds(fcntl(fds[0], F_SETPIPE_SZ, limit) == limit);
  holds(fcntl(fds[0], F_SETPIPE_SZ, limit * 2) == -1 && errno == EPERM);
  return 0;
}
