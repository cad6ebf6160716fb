// Locks: threads blocked in a mutex, a condition variable and a barrier; a robust mutex in shared memory whose owner
// dies after the restore; a mutex with priority inheritance, held over it.
// kinds: task/user-areas
// cc: -pthread
#include "workload.h"

static struct shared {
  pthread_mutex_t robust, inheriting;
  pthread_cond_t condition;
  pthread_mutex_t guard;
  int told;
} *shared;
static pthread_mutex_t plain = PTHREAD_MUTEX_INITIALIZER;
static pthread_barrier_t barrier;
static int counter;

static void owner(void *unused) {
  (void)unused;
  must(pthread_mutex_lock(&shared->robust) == 0);
  prepared();
  wait_for_go();
  // It ends with the lock held: the kernel walks its robust list.
}

static void listener(void *unused) {
  (void)unused;
  must(pthread_mutex_lock(&shared->guard) == 0);
  prepared();
  while (shared->told == 0) check(pthread_cond_wait(&shared->condition, &shared->guard) == 0);
  check(shared->told == 5);
  pthread_mutex_unlock(&shared->guard);
}

static void *blocked(void *unused) {
  (void)unused;
  prepared();
  check(pthread_mutex_lock(&plain) == 0);
  counter++;
  check(pthread_mutex_unlock(&plain) == 0);
  int result = pthread_barrier_wait(&barrier);
  check(result == 0 || result == PTHREAD_BARRIER_SERIAL_THREAD);
  return NULL;
}

int main(int argc, char **argv) {
  start(argc, argv);
  shared = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  must(shared != MAP_FAILED);
  pthread_mutexattr_t attribute;
  pthread_condattr_t shared_condition;
  pthread_mutexattr_init(&attribute);
  pthread_mutexattr_setpshared(&attribute, PTHREAD_PROCESS_SHARED);
  must(pthread_mutex_init(&shared->guard, &attribute) == 0);
  pthread_mutexattr_setrobust(&attribute, PTHREAD_MUTEX_ROBUST);
  must(pthread_mutex_init(&shared->robust, &attribute) == 0);
  pthread_mutexattr_setprotocol(&attribute, PTHREAD_PRIO_INHERIT);
  must(pthread_mutex_init(&shared->inheriting, &attribute) == 0);
  pthread_condattr_init(&shared_condition);
  pthread_condattr_setpshared(&shared_condition, PTHREAD_PROCESS_SHARED);
  must(pthread_cond_init(&shared->condition, &shared_condition) == 0);
  must(pthread_barrier_init(&barrier, NULL, 4) == 0);

  must(pthread_mutex_lock(&plain) == 0 && pthread_mutex_lock(&shared->inheriting) == 0);
  pid_t dies = fork_child(owner, NULL), listens = fork_child(listener, NULL);
  pthread_t ids[3];
  for (int i = 0; i < 3; i++) must(pthread_create(&ids[i], NULL, blocked, NULL) == 0);
  await_prepared(5);
  usleep(10000);
  ready();
  wait_for_go();

  check(counter == 0);
  check(pthread_mutex_lock(&shared->robust) == EOWNERDEAD);
  check(pthread_mutex_consistent(&shared->robust) == 0 && pthread_mutex_unlock(&shared->robust) == 0);
  check(pthread_mutex_unlock(&shared->inheriting) == 0);
  check(pthread_mutex_lock(&shared->guard) == 0);
  shared->told = 5;
  pthread_cond_signal(&shared->condition);
  pthread_mutex_unlock(&shared->guard);
  check(pthread_mutex_unlock(&plain) == 0);
  int result = pthread_barrier_wait(&barrier);
  check(result == 0 || result == PTHREAD_BARRIER_SERIAL_THREAD);
  for (int i = 0; i < 3; i++) pthread_join(ids[i], NULL);
  check(counter == 3);
  check(ended_well(dies) && ended_well(listens));
  return pass();
}
