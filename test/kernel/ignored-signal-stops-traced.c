// A signal that a task ignores stops it when it is traced, and does nothing when it is not. So a loop of our own that ends in
// such a signal is safe to run untraced, where int3 would kill.
#include "kernel.h"

static volatile int *rounds;

static void raises(void) {
  pid_t pid = getpid(), tid = gettid();
  // SIGURG is ignored by default, SIGWINCH here by disposition.
  signal(SIGWINCH, SIG_IGN);
  for (;;) {
    syscall(SYS_tgkill, pid, tid, *rounds % 2 ? SIGWINCH : SIGURG);
    ++*rounds;
    usleep(100);
  }
}

int main(void) {
  rounds = shared_page();
  pid_t pid = child_of(raises);
  while (*rounds < 10) usleep(1000);
  seize(pid, 0);
  bool urg = false, winch = false;
  for (int i = 0; i < 4; i++) {
    int status = stopped(pid);
    urg |= WSTOPSIG(status) == SIGURG && status >> 16 == 0;
    winch |= WSTOPSIG(status) == SIGWINCH && status >> 16 == 0;
    int at = *rounds;
    usleep(5000);
    holds(*rounds == at);
    holds(ptrace(PTRACE_CONT, pid, 0, 0) == 0);
  }
  holds(urg && winch);
  stopped(pid);
  holds(ptrace(PTRACE_DETACH, pid, 0, 0) == 0);
  int at = *rounds;
  while (*rounds < at + 10) usleep(1000);
  kill(pid, SIGKILL);
  holds(ended(pid) == 1000 + SIGKILL);
  return 0;
}
