// openat2 with RESOLVE_IN_ROOT on /proc/PID/root opens what the task sees under its own root: absolute links and `..` stay
// inside, whatever our own root is.
#include "kernel.h"
#include <linux/openat2.h>

static char root[] = "/tmp/bardo-kernel-XXXXXX";

static void jailed(void) {
  if (chroot(root) != 0 || chdir("/") != 0) _exit(9);
  for (;;) pause();
}

static ssize_t read_at(int dir, const char *path, char *to) {
  struct open_how how = {.flags = O_RDONLY, .resolve = RESOLVE_IN_ROOT};
  int fd = (int)syscall(SYS_openat2, dir, path, &how, sizeof how);
  if (fd < 0) return -errno;
  ssize_t n = read(fd, to, 16);
  close(fd);
  return n;
}

int main(void) {
  holds(mkdtemp(root) != NULL && chdir(root) == 0 && mkdir("etc", 0755) == 0);
  int fd = open("etc/name", O_WRONLY | O_CREAT, 0644);
  holds(write(fd, "inside", 6) == 6 && close(fd) == 0);
  holds(symlink("/etc/name", "link") == 0 && symlink("../../../../etc/name", "up") == 0);
  pid_t pid = child_of(jailed);
  until_asleep(pid);
  char path[64], text[16] = "";
  snprintf(path, sizeof path, "/proc/%d/root", pid);
  int dir = open(path, O_PATH | O_DIRECTORY);
  holds(dir >= 0);
  holds(read_at(dir, "/etc/name", text) == 6 && strcmp(text, "inside") == 0);
  holds(read_at(dir, "/link", text) == 6 && read_at(dir, "up", text) == 6);
  holds(read_at(dir, "/etc/passwd", text) == -ENOENT);
  kill(pid, SIGKILL);
  holds(ended(pid) == 1000 + SIGKILL);
  holds(unlink("etc/name") == 0 && rmdir("etc") == 0 && unlink("link") == 0 && unlink("up") == 0 && chdir("/") == 0 && rmdir(root) == 0);
  return 0;
}
