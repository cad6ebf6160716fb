// Two processes with one working directory and one umask (CLONE_FS): what one changes the other one sees.
// kinds: fd/path
#include "workload.h"

static volatile int *moved;

static int shares_fs(void *unused) {
  (void)unused;
  prepared();
  wait_for_go();
  while (*moved == 0) usleep(500);
  char here[PATH_MAX];
  _exit(getcwd(here, sizeof here) != NULL && strcmp(here, in_run("b")) == 0 && umask(0015) == 0026 ? 0 : 1);
}

int main(int argc, char **argv) {
  start(argc, argv);
  char real[PATH_MAX];
  must(realpath(run_folder, real) != NULL);
  run_folder = real;
  moved = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  must(moved != MAP_FAILED);
  must(mkdir(in_run("a"), 0755) == 0 && mkdir(in_run("b"), 0755) == 0 && chdir(in_run("a")) == 0);
  umask(0026);
  static char stack[65536] __attribute__((aligned(16)));
  pid_t twin = clone(shares_fs, stack + sizeof stack, CLONE_FS | SIGCHLD, NULL);
  must(twin > 0);
  await_prepared(1);
  ready();
  wait_for_go();
  check(chdir(in_run("b")) == 0);
  *moved = 1;
  check(ended_well(twin));
  check(umask(0) == 0015);
  return pass();
}
