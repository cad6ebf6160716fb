// Threads, each with its own: thread-local values, name, signal mask, alternative stack, robust list, scheduling
// policy and nice value, pending signal. They are joined at the end, which needs clear_child_tid.
// kinds: task/user-areas task/scheduling task/pending
// cc: -pthread
#include "workload.h"
#include <sys/rseq.h>

#define THREADS 8
static __thread int local_number;
static __thread char local_text[64];
static pthread_barrier_t leaving;

static void *thread(void *argument) {
  int number = (int)(intptr_t)argument;
  local_number = number * 1000;
  snprintf(local_text, sizeof local_text, "text of thread %d", number);
  char name[16];
  snprintf(name, sizeof name, number == 3 ? "odd )( \n %d" : "worker %d", number);
  must(prctl(PR_SET_NAME, name) == 0);

  sigset_t mask, seen;
  sigemptyset(&mask);
  sigaddset(&mask, SIGUSR1);
  sigaddset(&mask, SIGRTMIN + number);
  must(pthread_sigmask(SIG_SETMASK, &mask, NULL) == 0);
  static char stacks[THREADS][32768];
  stack_t stack = {.ss_sp = stacks[number], .ss_size = sizeof stacks[number]}, stack_seen;
  must(sigaltstack(&stack, NULL) == 0);
  pid_t tid = (pid_t)syscall(SYS_gettid);
  union sigval value = {.sival_int = 100 + number};
  must(pthread_sigqueue(pthread_self(), SIGRTMIN + number, value) == 0);
  void *list, *list_seen;
  size_t size;
  must(syscall(SYS_get_robust_list, 0, &list, &size) == 0);
  struct sched_param none = {0};
  if (number == 5) must(sched_setscheduler(tid, SCHED_BATCH, &none) == 0);
  if (number == 6) must(setpriority(PRIO_PROCESS, (id_t)tid, 7) == 0);
  pthread_t self = pthread_self();

  prepared();
  wait_for_go();

  check(local_number == number * 1000);
  char text[64], name_seen[17] = "";
  snprintf(text, sizeof text, "text of thread %d", number);
  check(strcmp(text, local_text) == 0);
  check(pthread_equal(self, pthread_self()));
  check((pid_t)syscall(SYS_gettid) == tid);
  check(prctl(PR_GET_NAME, name_seen) == 0 && strncmp(name, name_seen, 15) == 0);
  check(pthread_sigmask(SIG_SETMASK, NULL, &seen) == 0 && memcmp(&seen, &mask, 8) == 0);
  check(sigaltstack(NULL, &stack_seen) == 0 && stack_seen.ss_sp == stack.ss_sp && stack_seen.ss_size == stack.ss_size);
  check(syscall(SYS_get_robust_list, 0, &list_seen, &size) == 0 && list_seen == list && size == 24);
  check(sched_getscheduler(tid) == (number == 5 ? SCHED_BATCH : SCHED_OTHER));
  check(getpriority(PRIO_PROCESS, (id_t)tid) == (number == 6 ? 7 : 0));
  siginfo_t info;
  struct timespec now = {0};
  check(sigtimedwait(&mask, &info, &now) == SIGRTMIN + number && info.si_value.sival_int == 100 + number);
  check(info.si_code == SI_QUEUE && info.si_pid == getpid());
  // The kernel writes the number of the CPU there at every preemption, if the area is still registered.
  struct rseq *area = (struct rseq *)((char *)__builtin_thread_pointer() + __rseq_offset);
  if (__rseq_size != 0) check(area->cpu_id < 4096 && (int)area->cpu_id >= 0);
  pthread_barrier_wait(&leaving);
  return (void *)(intptr_t)(number + 50);
}

static void *joined_late(void *argument) {
  (void)argument;
  return (void *)77;
}

int main(int argc, char **argv) {
  start(argc, argv);
  local_number = -1;
  pthread_t ids[THREADS];
  must(pthread_barrier_init(&leaving, NULL, THREADS + 1) == 0);
  for (int i = 0; i < THREADS; i++) must(pthread_create(&ids[i], NULL, thread, (void *)(intptr_t)i) == 0);
  await_prepared(THREADS);
  ready();
  wait_for_go();
  check(local_number == -1);
  pthread_barrier_wait(&leaving);
  for (int i = 0; i < THREADS; i++) {
    void *result;
    check(pthread_join(ids[i], &result) == 0 && (intptr_t)result == i + 50);
  }
  pthread_t late;
  void *result;
  check(pthread_create(&late, NULL, joined_late, NULL) == 0 && pthread_join(late, &result) == 0 && result == (void *)77);
  return pass();
}
