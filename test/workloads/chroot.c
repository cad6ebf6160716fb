// A child with a root directory of its own, and a file open there.
// kinds: fd/path fd/regular
#include "workload.h"

static void inside(void *unused) {
  (void)unused;
  // The files of this run by other names: its own are out of reach from in there.
  must(mkdir(in_run("root"), 0755) == 0 && mkdir(in_run("root/sub"), 0755) == 0);
  must(link(in_run("go"), in_run("root/go")) == 0 && link(in_run("result"), in_run("root/result")) == 0);
  must(link(in_run("prepared"), in_run("root/prepared")) == 0);
  must(chroot(in_run("root")) == 0 && chdir("/sub") == 0);
  run_folder = "";
  int fd = open("/sub/file", O_RDWR | O_CREAT, 0600);
  must(fd >= 0 && write(fd, "inside", 6) == 6);
  struct stat root, now;
  must(stat("/", &root) == 0);
  prepared();
  wait_for_go();
  check(stat("/", &now) == 0 && now.st_ino == root.st_ino && now.st_dev == root.st_dev);
  char here[PATH_MAX] = "";
  check(getcwd(here, sizeof here) != NULL && strcmp(here, "/sub") == 0);
  check(stat("/proc/self", &now) == -1);
  char text[8] = "";
  check(lseek(fd, 0, SEEK_CUR) == 6 && pread(fd, text, 6, 0) == 6 && strcmp(text, "inside") == 0);
  check(stat("/sub/../../../sub/file", &now) == 0);
}

int main(int argc, char **argv) {
  start(argc, argv);
  pid_t pid = fork_child(inside, NULL);
  await_prepared(1);
  ready();
  wait_for_go();
  check(ended_well(pid));
  struct stat st;
  check(stat("/proc/self", &st) == 0);
  return pass();
}
