// When the tracer is killed, its tracee runs on from wherever its registers point: not from where it was stopped.
#include "kernel.h"

static volatile int *where;

static void moved_here(void) {
  *where = 2;
  _exit(33);
}

static void spins(void) {
  *where = 1;
  for (;;) pause();
}

int main(void) {
  where = shared_page();
  pid_t pid = child_of(spins);
  while (*where == 0) usleep(1000);
  until_asleep(pid);
  pid_t tracer = fork();
  holds(tracer >= 0);
  if (tracer == 0) {
    seize(pid, 0);
    interrupt(pid);
    struct user_regs_struct regs = registers(pid);
    regs.rip = (unsigned long)moved_here;
    regs.rsp = (regs.rsp & ~15UL) - 512 - 8;
    regs.orig_rax = (unsigned long)-1;
    set_registers(pid, regs);
    kill(getpid(), SIGKILL);
  }
  holds(ended(tracer) == 1000 + SIGKILL);
  holds(ended(pid) == 33 && *where == 2);
  return 0;
}
