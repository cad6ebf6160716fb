// /proc/PID/stat of a zombie still tells its exit code as wait4 would (field 52), its group and its session; ptrace cannot
// seize it.
#include "kernel.h"

static void ends(void) { setsid(); _exit(42); }
static void killed(void) { raise(SIGKILL); }

static long field(pid_t pid, int number) {
  char path[64], text[2048] = "";
  snprintf(path, sizeof path, "/proc/%d/stat", pid);
  int fd = open(path, O_RDONLY);
  holds(read(fd, text, sizeof text - 1) > 0);
  close(fd);
  char *at = strrchr(text, ')') + 2;
  holds(*at == 'Z');
  for (int i = 3; i < number; i++) at = strchr(at, ' ') + 1;
  return strtol(at, NULL, 10);
}

int main(void) {
  pid_t first = child_of(ends), second = child_of(killed);
  siginfo_t info;
  holds(waitid(P_PID, (id_t)first, &info, WEXITED | WNOWAIT) == 0 && waitid(P_PID, (id_t)second, &info, WEXITED | WNOWAIT) == 0);
  holds(field(first, 52) == 42 << 8 && field(second, 52) == SIGKILL);
  holds(field(first, 6) == first && field(first, 5) == first && field(second, 6) == getsid(0));
  holds(ptrace(PTRACE_SEIZE, first, 0, 0) == -1 && errno == EPERM);
  holds(ended(first) == 42 && ended(second) == 1000 + SIGKILL);
  return 0;
}
