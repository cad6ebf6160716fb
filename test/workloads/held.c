// A parent that vfork(2) holds until its child ends: it cannot be stopped meanwhile, not even by ptrace.
// alone: it is run by test/conformance/failing.test.ts
// kinds: task/x86-registers
#include "workload.h"

int main(int argc, char **argv) {
  start(argc, argv);
  pid_t pid = vfork();
  if (pid == 0) {
    // The memory is the parent's, who does not run: this is no more than what both would do.
    ready();
    wait_for_go();
    _exit(0);
  }
  must(pid > 0);
  int status;
  check(waitpid(pid, &status, 0) == pid && status == 0);
  return pass();
}
