// A hundred processes: a wide root, and a chain. Each has its own value in memory that was shared by fork.
// kinds: mem/pages
#include "workload.h"

static char own[3 * PAGE];

static void leaf(void *number) {
  unsigned seed = (unsigned)(intptr_t)number;
  fill_pattern(own, PAGE, seed);
  pid_t parent = getppid();
  prepared();
  wait_for_go();
  check(has_pattern(own, PAGE, seed) && has_pattern(own + PAGE, 2 * PAGE, 1000));
  check(getppid() == parent);
}

static void chain(void *left) {
  intptr_t n = (intptr_t)left;
  pid_t next = n > 0 ? fork_child(chain, (void *)(n - 1)) : 0;
  leaf((void *)(2000 + n));
  if (next) check(ended_well(next));
}

int main(int argc, char **argv) {
  start(argc, argv);
  fill_pattern(own + PAGE, 2 * PAGE, 1000);
  pid_t pids[80];
  for (intptr_t i = 0; i < 80; i++) pids[i] = fork_child(leaf, (void *)i);
  pid_t first = fork_child(chain, (void *)18);
  await_prepared(99);
  ready();
  wait_for_go();
  for (int i = 0; i < 80; i++) check(ended_well(pids[i]));
  check(ended_well(first));
  return pass();
}
