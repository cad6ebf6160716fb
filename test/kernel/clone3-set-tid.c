// clone3 with set_tid gives a process and a thread the pid that is asked for; one that is taken answers EEXIST, and a zombie
// still holds its own.
#include "kernel.h"
#include <linux/sched.h>

static pid_t clone_with(pid_t wanted, uint64_t flags) {
  struct clone_args args = {.flags = flags, .exit_signal = SIGCHLD, .set_tid = (uint64_t)&wanted, .set_tid_size = 1};
  return (pid_t)syscall(SYS_clone3, &args, sizeof args);
}

int main(void) {
  pid_t pid = fork();
  if (pid == 0) _exit(0);
  siginfo_t info;
  holds(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT) == 0);
  pid_t again = clone_with(pid, 0);
  int error = errno;
  if (again == -1 && error == EPERM) skip("set_tid is not permitted: it needs CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN");
  holds(again == -1 && error == EEXIST);
  holds(ended(pid) == 0);
  again = clone_with(pid, 0);
  if (again == 0) _exit(getpid() == pid ? 7 : 8);
  holds(again == pid && ended(pid) == 7);
  holds(clone_with(getpid(), 0) == -1 && errno == EEXIST);
  return 0;
}
