// A child that is stopped by SIGSTOP stays stopped, and goes on at SIGCONT.
// kinds: task/pending
#include "workload.h"

static volatile int continued;
static void on_cont(int sig) { (void)sig; continued = 1; }

static void child(void *argument) {
  (void)argument;
  struct sigaction action = {.sa_handler = on_cont};
  must(sigaction(SIGCONT, &action, NULL) == 0);
  prepared();
  raise(SIGSTOP);
  check(continued == 1);
}

static char state_of(pid_t pid) {
  char path[64], line[512] = "";
  snprintf(path, sizeof path, "/proc/%d/stat", pid);
  int fd = open(path, O_RDONLY);
  if (fd < 0 || read(fd, line, sizeof line - 1) < 0) return '?';
  close(fd);
  return strrchr(line, ')')[2];
}

int main(int argc, char **argv) {
  start(argc, argv);
  pid_t pid = fork_child(child, NULL);
  await_prepared(1);
  int status;
  must(waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status));
  ready();
  wait_for_go();
  check(state_of(pid) == 'T');
  check(kill(pid, SIGCONT) == 0);
  check(ended_well(pid));
  return pass();
}
