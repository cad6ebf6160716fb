// Resource limits, nice value, scheduling policy, CPU affinity, oom score, personality, death signal, no huge pages.
// kinds: task/limits task/scheduling
#include "workload.h"
#include <sys/personality.h>

static int oom_score_adj(int set) {
  char text[16] = "";
  int fd = open("/proc/self/oom_score_adj", set == INT_MIN ? O_RDONLY : O_RDWR);
  must(fd >= 0);
  if (set != INT_MIN) must(dprintf(fd, "%d", set) > 0);
  must(pread(fd, text, sizeof text - 1, 0) > 0);
  close(fd);
  return atoi(text);
}

struct seen {
  struct rlimit limits[RLIM_NLIMITS];
  int nice, policy, priority, oom, personality, death_signal, thp;
  cpu_set_t cpus;
};

static void look(struct seen *s) {
  memset(s, 0, sizeof *s);
  for (int i = 0; i < (int)RLIM_NLIMITS; i++) must(getrlimit(i, &s->limits[i]) == 0);
  struct sched_param parameter;
  s->nice = getpriority(PRIO_PROCESS, 0);
  s->policy = sched_getscheduler(0);
  must(sched_getparam(0, &parameter) == 0);
  s->priority = parameter.sched_priority;
  s->oom = oom_score_adj(INT_MIN);
  s->personality = personality(0xffffffff);
  must(prctl(PR_GET_PDEATHSIG, &s->death_signal) == 0);
  s->thp = prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0);
  must(sched_getaffinity(0, sizeof s->cpus, &s->cpus) == 0);
}

static void waits(void) {
  static struct seen before, after;
  look(&before);
  prepared();
  wait_for_go();
  look(&after);
  check(memcmp(before.limits, after.limits, sizeof before.limits) == 0);
  check(before.nice == after.nice && before.policy == after.policy && before.priority == after.priority);
  check(before.oom == after.oom);
  check(before.personality == after.personality);
  check(before.death_signal == after.death_signal);
  check(before.thp == after.thp);
  check(memcmp(&before.cpus, &after.cpus, sizeof before.cpus) == 0);
}

static void limited(void *unused) {
  (void)unused;
  struct rlimit table[] = {{17, 40}, {1 << 20, 2 << 20}, {0, RLIM_INFINITY}, {3600, 7200}, {1 << 28, RLIM_INFINITY}};
  int which[] = {RLIMIT_NOFILE, RLIMIT_FSIZE, RLIMIT_CORE, RLIMIT_CPU, RLIMIT_DATA};
  // Beyond the limit that comes now: it stays usable.
  int high = fcntl(0, F_DUPFD, 30);
  for (size_t i = 0; i < COUNT(which); i++) must(setrlimit(which[i], &table[i]) == 0);
  struct rlimit stack = {3 << 20, RLIM_INFINITY}, queue = {77, 78};
  must(setrlimit(RLIMIT_STACK, &stack) == 0 && setrlimit(RLIMIT_SIGPENDING, &queue) == 0);
  must(nice(11) == 11);
  must(oom_score_adj(321) == 321);
  waits();
  check(fcntl(high, F_GETFD) == 0);
}

static void realtime(void *unused) {
  (void)unused;
  struct sched_param parameter = {.sched_priority = 3};
  must(sched_setscheduler(0, SCHED_RR, &parameter) == 0);
  waits();
}

static void idle(void *unused) {
  (void)unused;
  struct sched_param parameter = {0};
  must(sched_setscheduler(0, SCHED_IDLE, &parameter) == 0);
  must(prctl(PR_SET_PDEATHSIG, SIGUSR2) == 0);
  must(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0) == 0);
  waits();
}

static void old_layout(void *unused) {
  (void)unused;
  must(personality(ADDR_NO_RANDOMIZE | READ_IMPLIES_EXEC) >= 0);
  waits();
}

int main(int argc, char **argv) {
  start(argc, argv);
  pid_t pids[] = {fork_child(limited, NULL), fork_child(realtime, NULL), fork_child(idle, NULL), fork_child(old_layout, NULL)};
  await_prepared(4);
  static struct seen before, after;
  look(&before);
  ready();
  wait_for_go();
  look(&after);
  // The tool that restores us pins itself to a CPU, and lives in a process with limits of its own.
  check(memcmp(&before, &after, sizeof before) == 0);
  for (size_t i = 0; i < COUNT(pids); i++) check(ended_well(pids[i]));
  return pass();
}
