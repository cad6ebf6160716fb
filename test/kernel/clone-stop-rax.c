// At a PTRACE_EVENT_FORK stop the caller's rax still reads -ENOSYS: the child's pid comes from PTRACE_GETEVENTMSG.
#include "kernel.h"

static void forks(void) {
  raise(SIGSTOP);
  pid_t pid = fork();
  if (pid == 0) _exit(0);
  waitpid(pid, NULL, 0);
}

int main(void) {
  pid_t pid = child_of(forks);
  int status;
  holds(waitpid(pid, &status, WUNTRACED) == pid);
  seize(pid, PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE);
  kill(pid, SIGCONT);
  for (;;) {
    status = stopped(pid);
    if (status >> 16 == PTRACE_EVENT_FORK) break;
    ptrace(PTRACE_CONT, pid, 0, WSTOPSIG(status) == SIGCONT ? SIGCONT : 0);
  }
  unsigned long made = 0;
  holds((long)registers(pid).rax == -ENOSYS);
  holds(ptrace(PTRACE_GETEVENTMSG, pid, 0, &made) == 0 && made > 0);
  // The child is traced from its first instruction on, and waits for us.
  stopped((pid_t)made);
  holds(ptrace(PTRACE_DETACH, (pid_t)made, 0, 0) == 0);
  holds(ptrace(PTRACE_DETACH, pid, 0, 0) == 0);
  holds(ended(pid) == 0);
  return 0;
}
