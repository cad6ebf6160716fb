// A whole tree of an ordinary user: no capability, not dumpable by default after its setuid.
// kinds: task/credentials task/limits
#include "workload.h"
#include <grp.h>

static void child(void *unused) {
  (void)unused;
  prepared();
  wait_for_go();
  check(getuid() == 12345 && geteuid() == 12345 && getgid() == 54321);
}

int main(int argc, char **argv) {
  start(argc, argv);
  must(setgroups(0, NULL) == 0 && setresgid(54321, 54321, 54321) == 0 && setresuid(12345, 12345, 12345) == 0);
  int dumpable = prctl(PR_GET_DUMPABLE);
  pid_t pid = fork_child(child, NULL);
  await_prepared(1);
  ready();
  wait_for_go();
  uid_t r, e, s;
  check(getresuid(&r, &e, &s) == 0 && r == 12345 && e == 12345 && s == 12345);
  check(setuid(0) == -1);
  check(prctl(PR_GET_DUMPABLE) == dumpable);
  check(ended_well(pid));
  return pass();
}
