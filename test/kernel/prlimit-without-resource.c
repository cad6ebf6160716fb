// Without CAP_SYS_RESOURCE prlimit refuses a process of another user, though ptrace of it is allowed; the process itself may be
// made to ask, and /proc/PID/limits tells too.
#include "kernel.h"
#include <linux/capability.h>
#include <sys/resource.h>

static struct rlimit *asked;

static void of_another_user(void) {
  if (setresgid(12345, 12345, 12345) != 0 || setresuid(12345, 12345, 12345) != 0) _exit(9);
  for (;;) pause();
}

int main(void) {
  if (getuid() != 0) skip("needs root");
  struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct caps[2];
  holds(syscall(SYS_capget, &head, caps) == 0);
  caps[0].effective &= ~(1u << CAP_SYS_RESOURCE), caps[0].permitted &= ~(1u << CAP_SYS_RESOURCE);
  holds(syscall(SYS_capset, &head, caps) == 0);
  asked = shared_page();
  pid_t pid = child_of(of_another_user);
  until_asleep(pid);
  usleep(2000);
  struct rlimit limit;
  holds(prlimit(pid, RLIMIT_CORE, NULL, &limit) == -1 && errno == EPERM);
  seize(pid, 0);
  interrupt(pid);
  holds(remote(pid, SYS_prlimit64, 0, RLIMIT_NOFILE, 0, (long)asked, 0, 0) == 0);
  holds(getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur == asked->rlim_cur && limit.rlim_max == asked->rlim_max);
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/limits", pid);
  int fd = open(path, O_RDONLY);
  char byte;
  holds(fd >= 0 && read(fd, &byte, 1) == 1);
  kill(pid, SIGKILL);
  holds(ended(pid) == 1000 + SIGKILL);
  return 0;
}
