// A task made with CLONE_PTRACE by a seized one is traced by the same tracer with the same options (here: it dies with the
// tracer), and stops before its first instruction; its maker does not stop for it. Its registers are its maker's, at the
// call, but for the answer; its signal mask is too.
#include "kernel.h"

static int report[2];

static pid_t make(void) {
  // struct clone_args: flags, three pointers, exit_signal.
  uint64_t args[11] = {CLONE_PTRACE, 0, 0, 0, SIGCHLD};
  return (pid_t)syscall(SYS_clone3, args, sizeof(args));
}

static void maker(void) {
  sigset_t all;
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, NULL);
  kill(getpid(), SIGSTOP);
  for (int index = 0; index < 3; index++) {
    pid_t pid = make();
    if (pid == 0) pause();
    if (write(report[1], &pid, sizeof(pid)) != sizeof(pid)) _exit(1);
  }
  pause();
}

static void tracer(void) {
  pid_t pid = child_of(maker);
  pid_t all[3];
  int status;
  holds(waitpid(pid, &status, WUNTRACED) == pid);
  seize(pid, PTRACE_O_EXITKILL);
  kill(pid, SIGCONT);
  // The end of its stop, and the SIGCONT.
  for (int stop = 0; stop < 2; stop++) {
    stopped(pid);
    holds(ptrace(PTRACE_CONT, pid, 0, 0) == 0);
  }
  for (int index = 0; index < 3; index++) {
    pid_t child = 0;
    holds(read(report[0], &child, sizeof(child)) == sizeof(child));
    status = stopped(child);
    holds(status >> 16 == PTRACE_EVENT_STOP);
    uint64_t mask = 0;
    holds(ptrace(PTRACE_GETSIGMASK, child, 8, &mask) == 0 && (mask | 0x180040100ULL) == ~0ULL);
    struct user_regs_struct regs = registers(child);
    holds(regs.rax == 0 && regs.orig_rax == SYS_clone3 && regs.rsp != 0);
    all[index] = child;
  }
  // For who looks for them when we are gone.
  holds(write(report[1], all, sizeof(all)) == sizeof(all));
  _exit(0);
}

int main(void) {
  holds(pipe(report) == 0);
  pid_t pid = child_of(tracer);
  holds(ended(pid) == 0);
  pid_t all[3];
  holds(read(report[0], all, sizeof(all)) == sizeof(all));
  // Killed by the end of the tracer; whoever reaps orphans may take a moment.
  for (int index = 0; index < 3; index++) {
    for (int tries = 0; tries < 500; tries++) {
      char path[64], state = 0;
      snprintf(path, sizeof(path), "/proc/%d/stat", all[index]);
      FILE *file = fopen(path, "r");
      if (file == NULL) break;
      if (fscanf(file, "%*d (%*[^)]) %c", &state) != 1) state = 'Z';
      fclose(file);
      if (state == 'Z' || state == 'X') break;
      holds(tries < 499);
      usleep(10000);
    }
  }
  return 0;
}
