// PTRACE_PEEKSIGINFO reads pending signals without taking them, the thread's own and the process's apart; the task itself
// may queue any siginfo to itself (rt_tgsigqueueinfo), others may not with a code of the kernel's.
#include "kernel.h"

static void waits(void) {
  sigset_t all;
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, NULL);
  union sigval value = {.sival_int = 5};
  sigqueue(getpid(), SIGRTMIN, value);
  value.sival_int = 6;
  sigqueue(getpid(), SIGRTMIN, value);
  raise(SIGUSR1);
  siginfo_t info = {.si_signo = SIGUSR2, .si_code = SI_TIMER};
  info.si_value.sival_int = 77;
  if (syscall(SYS_rt_tgsigqueueinfo, getpid(), gettid(), SIGUSR2, &info) != 0) _exit(9);
  info.si_signo = SIGALRM, info.si_code = SI_KERNEL;
  if (syscall(SYS_rt_tgsigqueueinfo, getpid(), gettid(), SIGALRM, &info) != 0) _exit(9);
  for (;;) pause();
}

int main(void) {
  pid_t pid = child_of(waits);
  until_asleep(pid);
  seize(pid, 0);
  interrupt(pid);
  siginfo_t found[8];
  struct __ptrace_peeksiginfo_args shared = {.flags = PTRACE_PEEKSIGINFO_SHARED, .nr = 8}, own = {.nr = 8};
  for (int round = 0; round < 2; round++) {
    holds(ptrace(PTRACE_PEEKSIGINFO, pid, &shared, found) == 2);
    holds(found[0].si_value.sival_int == 5 && found[1].si_value.sival_int == 6 && found[1].si_code == SI_QUEUE);
    holds(ptrace(PTRACE_PEEKSIGINFO, pid, &own, found) == 3);
    holds(found[0].si_signo == SIGUSR1 && found[1].si_signo == SIGUSR2 && found[1].si_code == SI_TIMER);
    holds(found[1].si_value.sival_int == 77 && found[2].si_code == SI_KERNEL);
  }
  siginfo_t forged = {.si_signo = SIGALRM, .si_code = SI_KERNEL};
  holds(syscall(SYS_rt_sigqueueinfo, pid, SIGALRM, &forged) == -1 && errno == EPERM);
  kill(pid, SIGKILL);
  holds(ended(pid) == 1000 + SIGKILL);
  return 0;
}
