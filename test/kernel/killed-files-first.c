// A process that is killed, of several threads, has lost its files when its parent is told: whoever waits for the end of a pipe
// that was open in it alone has been woken by then.
#include "kernel.h"

static int ends[2];

static void *sleep_on(void *none) {
  for (;;) pause();
  return none;
}

static void hold(void) {
  close(ends[0]);
  pthread_t thread;
  for (int i = 0; i < 3; i++) holds(pthread_create(&thread, NULL, sleep_on, NULL) == 0);
  holds(write(ends[1], "x", 1) == 1);
  sleep_on(NULL);
}

int main(void) {
  for (int round = 0; round < 200; round++) {
    char byte;
    holds(pipe(ends) == 0);
    pid_t pid = child_of(hold);
    close(ends[1]);
    holds(read(ends[0], &byte, 1) == 1 && fcntl(ends[0], F_SETFL, O_NONBLOCK) == 0);
    holds(read(ends[0], &byte, 1) == -1 && errno == EAGAIN && kill(pid, SIGKILL) == 0);
    holds(ended(pid) == 1000 + SIGKILL && read(ends[0], &byte, 1) == 0);
    close(ends[0]);
  }
  return 0;
}
