// The end of a single step is a forced SIGTRAP: it takes the action away from a task that ignores the signal, and unblocks
// it in one that blocks it; a task that does neither keeps its handler, which never runs.
#include "kernel.h"

static volatile int handled;
static void handler(int signal) { handled = signal; }

static void turns(void) { for (;;) handled = handled; }
static void ignores(void) { signal(SIGTRAP, SIG_IGN); turns(); }
static void handles(void) { signal(SIGTRAP, handler); turns(); }
static void blocks(void) {
  sigset_t set;
  signal(SIGTRAP, handler);
  sigemptyset(&set);
  sigaddset(&set, SIGTRAP);
  sigprocmask(SIG_BLOCK, &set, NULL);
  turns();
}

static uint64_t mask_of(pid_t pid, const char *name) {
  char path[64], line[256];
  uint64_t mask = ~(uint64_t)0;
  snprintf(path, sizeof path, "/proc/%d/status", pid);
  FILE *status = fopen(path, "r");
  holds(status != NULL);
  while (fgets(line, sizeof line, status))
    if (strncmp(line, name, strlen(name)) == 0) mask = strtoull(line + strlen(name), NULL, 16);
  fclose(status);
  return mask >> (SIGTRAP - 1) & 1;
}

/** Steps a task that has `before` set, and whether `name` still has the signal behind that. */
static bool keeps(void (*run)(void), const char *name) {
  pid_t pid = child_of(run);
  while (mask_of(pid, name) != 1) usleep(1000);
  seize(pid, 0);
  interrupt(pid);
  holds(ptrace(PTRACE_SINGLESTEP, pid, 0, 0) == 0);
  holds(WSTOPSIG(stopped(pid)) == SIGTRAP);
  bool kept = mask_of(pid, name) == 1;
  kill(pid, SIGKILL);
  holds(ended(pid) == 1000 + SIGKILL);
  return kept;
}

int main(void) {
  holds(!keeps(ignores, "SigIgn:"));
  holds(!keeps(blocks, "SigBlk:"));
  holds(keeps(handles, "SigCgt:"));
  return 0;
}
