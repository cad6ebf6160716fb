// Working directories: one's own, a child's, one with no permission to read it; umask.
// kinds: fd/path fd/regular
#include "workload.h"

static bool here_is(const char *name) {
  char here[PATH_MAX];
  struct stat a, b;
  return getcwd(here, sizeof here) != NULL && strcmp(here, in_run(name)) == 0 && stat(".", &a) == 0 && stat(here, &b) == 0 &&
         a.st_ino == b.st_ino;
}

static void child(void *unused) {
  (void)unused;
  must(chdir(in_run("b")) == 0);
  umask(0077);
  prepared();
  wait_for_go();
  check(here_is("b"));
  check(umask(0) == 0077);
}

int main(int argc, char **argv) {
  start(argc, argv);
  char real[PATH_MAX];
  must(realpath(run_folder, real) != NULL);
  run_folder = real;
  must(mkdir(in_run("a"), 0100) == 0 && mkdir(in_run("b"), 0755) == 0);
  must(chdir(in_run("a")) == 0);
  umask(0026);
  pid_t pid = fork_child(child, NULL);
  await_prepared(1);
  ready();
  wait_for_go();
  check(here_is("a"));
  check(umask(0) == 0026);
  check(ended_well(pid));
  return pass();
}
