// In rt_sigsuspend PTRACE_GETSIGMASK gives the mask that comes back afterwards, /proc/PID/status the one in force meanwhile.
#include "kernel.h"

static void suspended(void) {
  sigset_t own, inside;
  sigemptyset(&own);
  sigaddset(&own, SIGHUP);
  sigprocmask(SIG_SETMASK, &own, NULL);
  sigemptyset(&inside);
  sigaddset(&inside, SIGUSR2);
  sigsuspend(&inside);
}

int main(void) {
  pid_t pid = child_of(suspended);
  until_asleep(pid);
  usleep(2000);
  seize(pid, 0);
  interrupt(pid);
  uint64_t mask = 0;
  holds(ptrace(PTRACE_GETSIGMASK, pid, 8, &mask) == 0);
  holds(mask == 1ULL << (SIGHUP - 1));
  char path[64], text[4096] = "";
  snprintf(path, sizeof path, "/proc/%d/status", pid);
  int fd = open(path, O_RDONLY);
  holds(read(fd, text, sizeof text - 1) > 0);
  holds(strtoull(strstr(text, "SigBlk:") + 7, NULL, 16) == 1ULL << (SIGUSR2 - 1));
  kill(pid, SIGKILL);
  holds(ended(pid) == 1000 + SIGKILL);
  return 0;
}
