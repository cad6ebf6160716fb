// A nanosleep that is stopped has written what is left to its second argument before it shows -516, though no signal handler
// ran; that is where a dump can read it.
#include "kernel.h"

static struct timespec *left;

static void sleeps(void) {
  struct timespec time = {60, 0};
  syscall(SYS_nanosleep, &time, left);
}

int main(void) {
  left = shared_page();
  left->tv_sec = -1;
  pid_t pid = child_of(sleeps);
  until_asleep(pid);
  usleep(50000);
  holds(left->tv_sec == -1);
  seize(pid, 0);
  interrupt(pid);
  holds((long)registers(pid).rax == -516);
  holds(left->tv_sec == 59 && left->tv_nsec > 0);
  kill(pid, SIGKILL);
  holds(ended(pid) == 1000 + SIGKILL);
  return 0;
}
