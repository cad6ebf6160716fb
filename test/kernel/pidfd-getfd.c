// pidfd_getfd gives the very same open file description that the task holds: position and status flags are one, kcmp says
// equal, and the number here is close-on-exec whatever it is there.
#include "kernel.h"

static void waits(void) { for (;;) pause(); }

int main(void) {
  int theirs = memfd_create("file", 0);
  holds(write(theirs, "0123456789", 10) == 10);
  pid_t pid = child_of(waits);
  int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
  holds(pidfd >= 0);
  int got = (int)syscall(SYS_pidfd_getfd, pidfd, theirs, 0);
  holds(got >= 0 && got != theirs);
  holds(lseek(got, 4, SEEK_SET) == 4 && lseek(theirs, 0, SEEK_CUR) == 4);
  holds(fcntl(got, F_GETFD) == FD_CLOEXEC && fcntl(theirs, F_GETFD) == 0);
  holds(syscall(SYS_kcmp, getpid(), pid, 0 /* KCMP_FILE */, got, theirs) == 0);
  kill(pid, SIGKILL);
  holds(ended(pid) == 1000 + SIGKILL);
  return 0;
}
