// User and group ids, groups, capability sets, securebits, no_new_privs, umask, keep-caps, per process and per thread.
// kinds: task/credentials
// cc: -pthread
#include "workload.h"
#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sys/fsuid.h>

struct seen {
  uid_t r, e, s, f;
  gid_t gr, ge, gs, gf;
  int group_count;
  gid_t groups[64];
  struct __user_cap_data_struct caps[2];
  uint64_t bounding, ambient;
  int securebits, no_new_privs, keep_caps, dumpable;
  mode_t umask;
};

// From /proc: umask(2) can only be asked by changing it, for all threads.
static mode_t read_umask(void) {
  char text[4096] = "";
  int fd = open("/proc/thread-self/status", O_RDONLY);
  must(fd >= 0 && read(fd, text, sizeof text - 1) > 0);
  close(fd);
  return (mode_t)strtoul(strstr(text, "Umask:") + 6, NULL, 8);
}

static void look(struct seen *s) {
  memset(s, 0, sizeof *s);
  // Raw: the library's own would set or ask all threads.
  must(syscall(SYS_getresuid, &s->r, &s->e, &s->s) == 0 && syscall(SYS_getresgid, &s->gr, &s->ge, &s->gs) == 0);
  s->f = (uid_t)syscall(SYS_setfsuid, -1);
  s->gf = (gid_t)syscall(SYS_setfsgid, -1);
  s->group_count = getgroups(64, s->groups);
  struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
  must(syscall(SYS_capget, &head, s->caps) == 0);
  for (int cap = 0; cap < 64; cap++) {
    if (prctl(PR_CAPBSET_READ, cap) == 1) s->bounding |= 1ULL << cap;
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, cap, 0, 0) == 1) s->ambient |= 1ULL << cap;
  }
  s->securebits = prctl(PR_GET_SECUREBITS);
  s->no_new_privs = prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0);
  s->keep_caps = prctl(PR_GET_KEEPCAPS);
  s->dumpable = prctl(PR_GET_DUMPABLE);
  s->umask = read_umask();
}

static bool same(const struct seen *before) {
  struct seen after;
  look(&after);
  return memcmp(before, &after, sizeof after) == 0;
}

static void set_caps(uint64_t effective, uint64_t permitted, uint64_t inheritable) {
  struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct data[2] = {
    {(uint32_t)effective, (uint32_t)permitted, (uint32_t)inheritable},
    {(uint32_t)(effective >> 32), (uint32_t)(permitted >> 32), (uint32_t)(inheritable >> 32)},
  };
  must(syscall(SYS_capset, &head, data) == 0);
}

#define BIT(cap) (1ULL << (cap))

static void waits(void) {
  struct seen before;
  look(&before);
  prepared();
  wait_for_go();
  check(same(&before));
}

static void root_with_few(void *unused) {
  (void)unused;
  gid_t groups[] = {5, 100, 60000, 4};
  must(setgroups(COUNT(groups), groups) == 0);
  must(prctl(PR_CAPBSET_DROP, CAP_SYS_TIME) == 0 && prctl(PR_CAPBSET_DROP, CAP_MKNOD) == 0);
  must(prctl(PR_SET_SECUREBITS, SECBIT_NOROOT | SECBIT_NO_SETUID_FIXUP | SECBIT_NO_SETUID_FIXUP_LOCKED) == 0);
  set_caps(BIT(CAP_CHOWN), BIT(CAP_CHOWN) | BIT(CAP_KILL) | BIT(CAP_SETUID), BIT(CAP_KILL) | BIT(CAP_NET_ADMIN));
  must(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_KILL, 0, 0) == 0);
  umask(0137);
  waits();
}

static void three_ids(void *unused) {
  (void)unused;
  must(setgroups(0, NULL) == 0);
  must(prctl(PR_SET_KEEPCAPS, 1) == 0);
  must(setresgid(2001, 2002, 2003) == 0 && setresuid(1001, 1002, 1003) == 0);
  umask(0777);
  waits();
}

static void nobody(void *unused) {
  (void)unused;
  gid_t group = 1000;
  must(setgroups(1, &group) == 0 && setresgid(1000, 1000, 1000) == 0 && setresuid(1000, 1000, 1000) == 0);
  must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
  waits();
}

static volatile bool changed;

static void *other_thread(void *unused) {
  (void)unused;
  // The kernel keeps credentials per thread; the library hides it.
  must(syscall(SYS_setresgid, 3001, 3001, 3001) == 0);
  must(syscall(SYS_setresuid, 3000, 3000, 3000) == 0);
  changed = true;
  waits();
  return NULL;
}

static void threads_differ(void *unused) {
  (void)unused;
  pthread_t id;
  must(pthread_create(&id, NULL, other_thread, NULL) == 0);
  // It has changed the dumpable flag of both.
  while (!changed) usleep(1000);
  waits();
  check(pthread_join(id, NULL) == 0);
}

int main(int argc, char **argv) {
  start(argc, argv);
  umask(0022);
  pid_t pids[] = {
    fork_child(root_with_few, NULL), fork_child(three_ids, NULL), fork_child(nobody, NULL), fork_child(threads_differ, NULL),
  };
  await_prepared(5);
  struct seen before;
  look(&before);
  ready();
  wait_for_go();
  check(same(&before));
  for (size_t i = 0; i < COUNT(pids); i++) check(ended_well(pids[i]));
  return pass();
}
