// processes BOARD N: a process and N-1 children of it, which share their memory copy-on-write and wait.
#include "load.h"

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  detach(argv[1]);
  int count = atoi(argv[2]);
  for (int i = 1; i < count; i++) {
    pid_t pid = fork();
    if (pid < 0) fail("fork");
    if (pid > 0) continue;
    close(readiness);
    if (i == count - 1) beat(1, NULL);
    for (;;) pause();
  }
  ready();
  beat(0, NULL);
}
