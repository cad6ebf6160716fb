// Two hundred threads, each with something of its own.
// kinds: task/x86-registers
// cc: -pthread
#include "workload.h"

#define THREADS 200
static __thread int mine;

static void *thread(void *argument) {
  mine = (int)(intptr_t)argument * 3 + 1;
  pid_t tid = (pid_t)syscall(SYS_gettid);
  prepared();
  wait_for_go();
  check(mine == (int)(intptr_t)argument * 3 + 1);
  check((pid_t)syscall(SYS_gettid) == tid);
  return argument;
}

int main(int argc, char **argv) {
  start(argc, argv);
  pthread_attr_t small;
  pthread_attr_init(&small);
  pthread_attr_setstacksize(&small, 65536);
  static pthread_t ids[THREADS];
  for (intptr_t i = 0; i < THREADS; i++) must(pthread_create(&ids[i], &small, thread, (void *)i) == 0);
  await_prepared(THREADS);
  ready();
  wait_for_go();
  for (intptr_t i = 0; i < THREADS; i++) {
    void *result;
    check(pthread_join(ids[i], &result) == 0 && (intptr_t)result == i);
  }
  return pass();
}
