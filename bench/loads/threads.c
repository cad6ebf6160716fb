// threads BOARD N: a process of N threads, which wait.
#include <pthread.h>

#include "load.h"

static int count;
static pthread_barrier_t made;

static void *run(void *number) {
  pthread_barrier_wait(&made);
  if ((intptr_t)number == count - 1) beat(1, NULL);
  for (;;) pause();
  return NULL;
}

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  detach(argv[1]);
  count = atoi(argv[2]);
  pthread_barrier_init(&made, NULL, count);
  for (int i = 1; i < count; i++) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, run, (void *)(intptr_t)i) != 0) fail("pthread_create");
  }
  pthread_barrier_wait(&made);
  ready();
  beat(0, NULL);
}
