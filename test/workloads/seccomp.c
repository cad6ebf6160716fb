// Seccomp: strict mode, filters stacked two deep, a filter that only one thread has, one shared by fork.
// kinds: task/seccomp
// cc: -pthread
#include "workload.h"
#include <linux/filter.h>
#include <linux/seccomp.h>

static void refuse_call(int nr, int error) {
  struct sock_filter code[] = {
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)nr, 0, 1),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)error),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog program = {.len = COUNT(code), .filter = code};
  must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
  must(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
}

static bool refused(long nr, int error) { return syscall(nr, -1, -1, -1) == -1 && errno == error; }

// Nothing but read, write and exit is allowed there, so it waits in a read and answers by a write.
static void strict(int in, int out) {
  char byte;
  prepared();
  must(prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) == 0);
  syscall(SYS_exit, syscall(SYS_read, in, &byte, 1) == 1 && syscall(SYS_write, out, &byte, 1) == 1 ? 0 : 5);
}

static void filtered_twice(void *unused) {
  (void)unused;
  refuse_call(SYS_getpriority, 71);
  refuse_call(SYS_sync, 72);
  prepared();
  wait_for_go();
  check(refused(SYS_getpriority, 71) && refused(SYS_sync, 72) && !refused(SYS_getppid, 71));
  check(prctl(PR_GET_SECCOMP) == SECCOMP_MODE_FILTER);
  check(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
}

// A filter that forbids what a checkpointer needs inside the task: it must be suspended meanwhile.
static void forbids_tools(void *unused) {
  (void)unused;
  prepared();
  refuse_call(SYS_mmap, 73);
  refuse_call(SYS_munmap, 73);
  refuse_call(SYS_pwritev, 73);
  refuse_call(SYS_prctl, 73);
  wait_for_go();
  check(refused(SYS_mmap, 73) && refused(SYS_munmap, 73) && refused(SYS_prctl, 73) && refused(SYS_pwritev, 73));
}

static void *one_thread(void *unused) {
  (void)unused;
  refuse_call(SYS_sync, 74);
  prepared();
  wait_for_go();
  check(refused(SYS_sync, 74));
  return NULL;
}

static void threads_differ(void *unused) {
  (void)unused;
  pthread_t id;
  must(pthread_create(&id, NULL, one_thread, NULL) == 0);
  prepared();
  wait_for_go();
  check(prctl(PR_GET_SECCOMP) == SECCOMP_MODE_DISABLED);
  check(pthread_join(id, NULL) == 0);
}

static void inheriting_child(void *unused) {
  (void)unused;
  prepared();
  wait_for_go();
  check(refused(SYS_getpriority, 75));
}

static void inherited(void *unused) {
  (void)unused;
  refuse_call(SYS_getpriority, 75);
  pid_t pid = fork_child(inheriting_child, NULL);
  prepared();
  wait_for_go();
  check(refused(SYS_getpriority, 75));
  check(ended_well(pid));
}

int main(int argc, char **argv) {
  start(argc, argv);
  int to[2], from[2];
  must(pipe(to) == 0 && pipe(from) == 0);
  pid_t strict_pid = fork();
  must(strict_pid >= 0);
  if (strict_pid == 0) strict(to[0], from[1]);
  pid_t pids[] = {
    fork_child(filtered_twice, NULL), fork_child(forbids_tools, NULL), fork_child(threads_differ, NULL), fork_child(inherited, NULL),
  };
  await_prepared(7);
  ready();
  wait_for_go();
  char byte = 'q', back = 0;
  check(write(to[1], &byte, 1) == 1 && read(from[0], &back, 1) == 1 && back == 'q');
  check(ended_well(strict_pid));
  for (size_t i = 0; i < COUNT(pids); i++) check(ended_well(pids[i]));
  check(prctl(PR_GET_SECCOMP) == 0);
  return pass();
}
