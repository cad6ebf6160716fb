// A tree that never stands still: it forks, clones and ends while it is being stopped.
// kinds: task/x86-registers
// cc: -pthread
// moves: tree
#include "workload.h"

static volatile int stop;
static pid_t root;

static void *short_thread(void *argument) {
  usleep(300);
  return (void *)((intptr_t)argument + 1);
}

static void nothing(void *argument) {
  (void)argument;
  usleep(300);
}

static void *forks(void *argument) {
  (void)argument;
  while (!stop) {
    pid_t pid = fork_child(nothing, NULL);
    check(ended_well(pid));
  }
  return NULL;
}

static void *clones(void *argument) {
  (void)argument;
  for (intptr_t i = 0; !stop; i++) {
    pthread_t id;
    void *result;
    if (!check(pthread_create(&id, NULL, short_thread, (void *)i) == 0)) break;
    check(pthread_join(id, &result) == 0 && (intptr_t)result == i + 1);
  }
  return NULL;
}

int main(int argc, char **argv) {
  start(argc, argv);
  root = getpid();
  pthread_t ids[3];
  must(pthread_create(&ids[0], NULL, forks, NULL) == 0);
  must(pthread_create(&ids[1], NULL, clones, NULL) == 0);
  must(pthread_create(&ids[2], NULL, forks, NULL) == 0);
  usleep(20000);
  ready();
  wait_for_go();
  usleep(20000);
  stop = 1;
  for (int i = 0; i < 3; i++) check(pthread_join(ids[i], NULL) == 0);
  check(getpid() == root);
  return pass();
}
