// Opening /proc/PID/map_files/FROM-TO gives the object that is mapped there, an anonymous shared one too: another process
// can map the same memory by it, and it keeps its name.
#include "kernel.h"

static char *memory;
static void waits(void) { for (;;) pause(); }

int main(void) {
  memory = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  memory[PAGE] = 'm';
  pid_t pid = child_of(waits);
  until_asleep(pid);
  char path[96];
  snprintf(path, sizeof path, "/proc/%d/map_files/%lx-%lx", pid, (long)memory, (long)memory + 4 * PAGE);
  int fd = open(path, O_RDWR);
  if (fd < 0 && errno == EPERM) skip("map_files may not be opened: it needs CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN");
  holds(fd >= 0);
  char *again = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, PAGE);
  holds(again != MAP_FAILED && again[0] == 'm');
  again[1] = 'n';
  holds(memory[PAGE + 1] == 'n');
  char link[128] = "";
  snprintf(path, sizeof path, "/proc/self/map_files/%lx-%lx", (long)again, (long)again + 2 * PAGE);
  holds(readlink(path, link, sizeof link - 1) > 0 && strcmp(link, "/dev/zero (deleted)") == 0);
  kill(pid, SIGKILL);
  holds(ended(pid) == 1000 + SIGKILL);
  return 0;
}
