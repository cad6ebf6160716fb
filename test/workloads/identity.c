// What a program is known by: arguments, environment, auxiliary vector, executable, name; changed at run time.
// kinds: fd/build-id mem/mappings
#include "workload.h"
#include <sys/auxv.h>

static size_t slurp(const char *path, char *to, size_t size) {
  int fd = open(path, O_RDONLY);
  must(fd >= 0);
  ssize_t n, all = 0;
  while ((n = read(fd, to + all, size - (size_t)all)) > 0) all += n;
  close(fd);
  return (size_t)all;
}

static const char *names[] = {"/proc/self/cmdline", "/proc/self/environ", "/proc/self/auxv", "/proc/self/comm"};
static char before[4][8192], after[8192];
static size_t sizes[4];

int main(int argc, char **argv) {
  start(argc, argv);
  must(setenv("LATER", "not in the first environment", 1) == 0);
  memcpy(argv[0], "./zz", 4);
  must(prctl(PR_SET_NAME, "\xff(odd) \n") == 0);
  must(prctl(PR_SET_DUMPABLE, 0) == 0 && prctl(PR_SET_DUMPABLE, 1) == 0);
  char exe_before[PATH_MAX] = "", exe_after[PATH_MAX] = "";
  must(readlink("/proc/self/exe", exe_before, PATH_MAX - 1) > 0);
  for (int i = 0; i < 4; i++) sizes[i] = slurp(names[i], before[i], sizeof before[i]);
  unsigned char random_before[16], *at = (unsigned char *)getauxval(AT_RANDOM);
  memcpy(random_before, at, 16);
  ready();
  wait_for_go();
  for (int i = 0; i < 4; i++) {
    size_t size = slurp(names[i], after, sizeof after);
    check(size == sizes[i] && memcmp(before[i], after, size) == 0);
  }
  check(readlink("/proc/self/exe", exe_after, PATH_MAX - 1) > 0 && strcmp(exe_before, exe_after) == 0);
  check(strcmp(getenv("LATER"), "not in the first environment") == 0);
  check(memcmp(random_before, at, 16) == 0);
  check(prctl(PR_GET_DUMPABLE) == 1);
  return pass();
}
