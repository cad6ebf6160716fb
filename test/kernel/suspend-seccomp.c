// PTRACE_O_SUSPEND_SECCOMP lets a traced task in strict mode make any call; after the detach the mode is in force again.
#include "kernel.h"
#include <linux/seccomp.h>

static int to_child[2];

static void strict(void) {
  char byte;
  prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT);
  syscall(SYS_read, to_child[0], &byte, 1);
  syscall(SYS_getpid);
  syscall(SYS_exit, 0);
}

int main(void) {
  holds(pipe(to_child) == 0);
  pid_t pid = child_of(strict);
  until_asleep(pid);
  if (ptrace(PTRACE_SEIZE, pid, 0, PTRACE_O_SUSPEND_SECCOMP) != 0) {
    kill(pid, SIGKILL);
    skip("PTRACE_O_SUSPEND_SECCOMP is not permitted: it needs CAP_SYS_ADMIN and CONFIG_CHECKPOINT_RESTORE");
  }
  interrupt(pid);
  holds(remote(pid, SYS_getppid, 0, 0, 0, 0, 0, 0) == getpid());
  long at = remote(pid, SYS_mmap, 0, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  holds(at > 0 && remote(pid, SYS_munmap, at, PAGE, 0, 0, 0, 0) == 0);
  holds(ptrace(PTRACE_DETACH, pid, 0, 0) == 0);
  holds(write(to_child[1], "x", 1) == 1);
  // Its getpid kills it now.
  holds(ended(pid) == 1000 + SIGKILL);
  return 0;
}
