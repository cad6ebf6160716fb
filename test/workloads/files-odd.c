// Names are bytes: files and folders whose names hold a newline, invalid UTF-8, quotes, backslashes, octal escapes
// that are none, " (deleted)", and 255 bytes; open, mapped, and as the working directory.
// kinds: fd/regular fd/path mem/mappings
#include "workload.h"

static const char *const names[] = {
  "new\nline", "\xff\xfe\x80invalid", "tab\there", "quote\"'`$(x)", "back\\slash\\012", "gone (deleted)", " leading and trailing ",
  "\xf0\x9f\x98\x80", "\x01\x02\x7f", "//deleted", "-rf", "percent%s%n", "\xed\xb2\x80half",
};

static bool is_open_as(int fd, const char *name) {
  char link[64], target[PATH_MAX] = "", file[PATH_MAX];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  snprintf(file, sizeof file, "%s", in_run(name));
  return readlink(link, target, sizeof target - 1) > 0 && strcmp(target, file) == 0;
}

int main(int argc, char **argv) {
  start(argc, argv);
  char real[PATH_MAX];
  must(realpath(run_folder, real) != NULL);
  run_folder = real;
  int fds[COUNT(names) + 1], directories[COUNT(names)];
  char *maps[COUNT(names)], folder[300], longest[256];
  memset(longest, 'n', 255);
  longest[255] = 0;
  for (size_t i = 0; i < COUNT(names); i++) {
    const char *name = strcmp(names[i], "//deleted") == 0 ? "deleted" : names[i];
    snprintf(folder, sizeof folder, "%s.d", name);
    fds[i] = open(in_run(name), O_RDWR | O_CREAT, 0600);
    must(fds[i] >= 0 && write(fds[i], name, 4) == 4);
    must(mkdir(in_run(folder), 0755) == 0);
    directories[i] = open(in_run(folder), O_RDONLY | O_DIRECTORY);
    must(directories[i] >= 0);
    maps[i] = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fds[i], 0);
    must(maps[i] != MAP_FAILED);
    maps[i][1] = '!';
  }
  fds[COUNT(names)] = open(in_run(longest), O_RDWR | O_CREAT, 0600);
  must(fds[COUNT(names)] >= 0);
  must(chdir(in_run("\xff\xfe\x80invalid.d")) == 0);
  ready();
  wait_for_go();
  for (size_t i = 0; i < COUNT(names); i++) {
    const char *name = strcmp(names[i], "//deleted") == 0 ? "deleted" : names[i];
    snprintf(folder, sizeof folder, "%s.d", name);
    check(is_open_as(fds[i], name) && is_open_as(directories[i], folder));
    check(lseek(fds[i], 0, SEEK_CUR) == 4);
    check(maps[i][0] == name[0] && maps[i][1] == '!');
  }
  check(is_open_as(fds[COUNT(names)], longest));
  char here[PATH_MAX] = "";
  check(getcwd(here, sizeof here) != NULL && strcmp(here, in_run("\xff\xfe\x80invalid.d")) == 0);
  return pass();
}
