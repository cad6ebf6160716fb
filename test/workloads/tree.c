// A tree with sessions, process groups whose leader is alive, a zombie, or gone, a session whose leader is gone,
// zombies with their statuses, names, and a root that is a child subreaper.
// kinds: task/pending task/limits
#include "workload.h"

struct facts {
  pid_t pid, parent, sid, pgid;
};
static struct facts *facts;  // shared by all

static void note(int slot) { facts[slot] = (struct facts){getpid(), getppid(), getsid(0), getpgid(0)}; }

static void same(int slot) {
  check(getpid() == facts[slot].pid);
  check(getppid() == facts[slot].parent);
  check(getsid(0) == facts[slot].sid);
  check(getpgid(0) == facts[slot].pgid);
}

static void wait_as(int slot) {
  note(slot);
  prepared();
  wait_for_go();
  same(slot);
}

static void plain(void *slot) { wait_as((int)(intptr_t)slot); }

static void new_group(void *slot) {
  must(setpgid(0, 0) == 0);
  plain(slot);
}

static void joins_group(void *slot) {
  must(setpgid(0, facts[1].pid) == 0);
  plain(slot);
}

static void new_session(void *slot) {
  must(setsid() == getpid());
  pid_t inner = fork_child(plain, (void *)4);
  pid_t group = fork_child(new_group, (void *)5);
  await_prepared(5);
  plain(slot);
  check(ended_well(inner) && ended_well(group));
}

// Leads a session, leaves one behind in it, and ends before that one does.
static void leaves_session(void *slot) {
  must(setsid() == getpid());
  pid_t left = fork();
  must(left >= 0);
  if (left == 0) {
    while (getppid() != facts[0].pid) usleep(1000);
    wait_as((int)(intptr_t)slot);
    child_end();
  }
}

static void leaves_group(void *slot) {
  must(setpgid(0, 0) == 0);
  pid_t left = fork();
  must(left >= 0);
  if (left == 0) {
    while (getppid() != facts[0].pid) usleep(1000);
    wait_as((int)(intptr_t)slot);
    child_end();
  }
}

// A zombie that leads the group of a living one.
static void zombie_leader(void *unused) {
  (void)unused;
  must(setpgid(0, 0) == 0);
  _exit(3);
}

static void named_zombie(void *unused) {
  (void)unused;
  must(prctl(PR_SET_NAME, "dead ) Z (name") == 0);
  _exit(42);
}

static void stays(pid_t pid) {
  siginfo_t info;
  must(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT) == 0);
}

int main(int argc, char **argv) {
  start(argc, argv);
  facts = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  must(facts != MAP_FAILED && prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);
  note(0);
  pid_t group = fork_child(new_group, (void *)1);
  await_prepared(1);
  pid_t joined = fork_child(joins_group, (void *)2);
  await_prepared(2);
  pid_t same_group = fork_child(plain, (void *)3);
  await_prepared(3);
  pid_t session = fork_child(new_session, (void *)6);
  await_prepared(6);
  check(ended_well(fork_child(leaves_session, (void *)7)));
  await_prepared(7);
  check(ended_well(fork_child(leaves_group, (void *)8)));
  await_prepared(8);

  pid_t dead[3] = {fork_child(zombie_leader, NULL), fork_child(named_zombie, NULL), fork()};
  must(dead[2] >= 0);
  if (dead[2] == 0) {
    signal(SIGUSR1, SIG_DFL);
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    raise(SIGUSR1);
    _exit(1);
  }
  stays(dead[0]);
  stays(dead[1]);
  stays(dead[2]);
  ready();
  wait_for_go();

  same(0);
  int on = 0, status;
  check(prctl(PR_GET_CHILD_SUBREAPER, &on) == 0 && on == 1);
  check(waitpid(dead[0], &status, 0) == dead[0] && WIFEXITED(status) && WEXITSTATUS(status) == 3);
  check(waitpid(dead[1], &status, 0) == dead[1] && WIFEXITED(status) && WEXITSTATUS(status) == 42);
  check(waitpid(dead[2], &status, 0) == dead[2] && WIFSIGNALED(status) && WTERMSIG(status) == SIGUSR1);
  check(ended_well(group) && ended_well(joined) && ended_well(same_group) && ended_well(session));
  check(ended_well(facts[7].pid) && ended_well(facts[8].pid));
  check(waitpid(-1, &status, 0) == -1 && errno == ECHILD);
  return pass();
}
