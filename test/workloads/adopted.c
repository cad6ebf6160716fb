// Processes that were adopted when their parents ended, by forebears that are subreapers: members of a session whose leader
// is alive below the one who has them; of a lost session, whose members two forebears have; a leader that was adopted
// further up than a member of its session; a member of a session whose leader is a zombie.
// kinds: task/limits
#include "workload.h"

enum { ROOT, LEADER, MEMBER, MEMBER_GROUP, HOLDER, LOST_NEAR, LOST_FAR, BEARER, MOVED, STAYED, ZOMBIE, LEFT, COUNT_OF };

struct facts {
  pid_t pid, parent, sid, pgid;
};

static struct shared {
  struct facts facts[COUNT_OF];
  volatile int step;
} *shared;

static void reach(int step) {
  while (shared->step < step) usleep(200);
}

static void stay(int slot) {
  struct facts *mine = &shared->facts[slot];
  *mine = (struct facts){getpid(), getppid(), getsid(0), getpgid(0)};
  prepared();
  wait_for_go();
  check(getpid() == mine->pid && getppid() == mine->parent);
  check(getsid(0) == mine->sid && getpgid(0) == mine->pgid);
}

/** Reaps children until there are none; all of them must end well. */
static void reap_all(void) {
  int status;
  pid_t pid;
  while ((pid = wait(&status)) > 0 || errno == EINTR)
    if (pid > 0) check(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void reaper(int on) { must(prctl(PR_SET_CHILD_SUBREAPER, on) == 0); }

/** Forks a child that forks a member and ends: the nearest subreaper has the member then. */
static void leave(int slot, bool new_group) {
  pid_t between = fork();
  must(between >= 0);
  if (between == 0) {
    pid_t self = getpid();
    if (fork() != 0) _exit(0);
    failures = 0;
    while (getppid() == self) usleep(200);
    if (new_group) must(setpgid(0, 0) == 0);
    stay(slot);
    child_end();
  }
  must(ended_well(between));
}

static void leader(void *unused) {
  (void)unused;
  must(setsid() == getpid());
  leave(MEMBER, false);
  leave(MEMBER_GROUP, true);
  stay(LEADER);
}

static void holder(void *unused) {
  (void)unused;
  reaper(1);
  pid_t lost = fork();
  must(lost >= 0);
  if (lost == 0) {
    must(setsid() == getpid());
    leave(LOST_NEAR, false);
    shared->step = 1;
    reach(2);
    leave(LOST_FAR, true);
    _exit(0);
  }
  reach(1);
  reaper(0);
  shared->step = 2;
  must(ended_well(lost));
  shared->step = 3;
  stay(HOLDER);
  reap_all();
}

static void bearer(void *unused) {
  (void)unused;
  reach(3);
  reaper(1);
  pid_t between = fork();
  must(between >= 0);
  if (between == 0) {
    pid_t self = getpid(), moved = fork();
    must(moved >= 0);
    if (moved == 0) {
      must(setsid() == getpid());
      leave(STAYED, false);
      shared->step = 4;
      while (getppid() == self) usleep(200);
      stay(MOVED);
      child_end();
    }
    reach(5);
    _exit(0);
  }
  reach(4);
  reaper(0);
  shared->step = 5;
  must(ended_well(between));
  stay(BEARER);
  reap_all();
}

static void zombie(void *unused) {
  (void)unused;
  must(setsid() == getpid());
  pid_t self = getpid();
  if (fork() == 0) {
    failures = 0;
    while (getppid() == self) usleep(200);
    stay(LEFT);
    child_end();
  }
  shared->facts[ZOMBIE] = (struct facts){self, getppid(), self, self};
}

int main(int argc, char **argv) {
  start(argc, argv);
  shared = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  must(shared != MAP_FAILED);
  reaper(1);
  void (*const all[])(void *) = {leader, holder, bearer, zombie};
  for (size_t i = 0; i < COUNT(all); i++) fork_child(all[i], NULL);
  await_prepared(10);
  struct facts *facts = shared->facts;
  // What was meant to come about.
  pid_t self = getpid();
  must(facts[MEMBER].parent == self && facts[MEMBER].sid == facts[LEADER].pid && facts[MEMBER_GROUP].parent == self);
  must(facts[LOST_NEAR].parent == facts[HOLDER].pid && facts[LOST_FAR].parent == self && facts[LOST_FAR].sid == facts[LOST_NEAR].sid);
  must(facts[MOVED].parent == self && facts[STAYED].parent == facts[BEARER].pid && facts[STAYED].sid == facts[MOVED].pid);
  must(facts[LEFT].parent == self && facts[LEFT].sid == facts[ZOMBIE].pid);
  ready();
  wait_for_go();
  check(getsid(facts[ZOMBIE].pid) == facts[ZOMBIE].pid);
  reap_all();
  return pass();
}
