// /proc/PID/mem reads and writes through the protection of a mapping, PROT_NONE included; process_vm_writev and
// process_vm_readv do not.
#include "kernel.h"

static char *memory;
static void waits(void) { for (;;) pause(); }

int main(void) {
  memory = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  memory[0] = 'r', memory[PAGE] = 'n';
  holds(mprotect(memory, PAGE, PROT_READ) == 0 && mprotect(memory + PAGE, PAGE, PROT_NONE) == 0);
  pid_t pid = child_of(waits);
  until_asleep(pid);
  char path[64], byte = 0;
  snprintf(path, sizeof path, "/proc/%d/mem", pid);
  int fd = open(path, O_RDWR);
  holds(fd >= 0);
  seize(pid, 0);
  interrupt(pid);
  struct iovec local = {&byte, 1}, read_only = {memory, 1}, hidden = {memory + PAGE, 1};
  holds(process_vm_writev(pid, &local, 1, &read_only, 1, 0) == -1 && errno == EFAULT);
  holds(process_vm_readv(pid, &local, 1, &hidden, 1, 0) == -1 && errno == EFAULT);
  holds(pwrite(fd, "R", 1, (off_t)memory) == 1 && pwrite(fd, "N", 1, (off_t)(memory + PAGE)) == 1);
  holds(pread(fd, &byte, 1, (off_t)memory) == 1 && byte == 'R');
  holds(pread(fd, &byte, 1, (off_t)(memory + PAGE)) == 1 && byte == 'N');
  // Its own copy: we still have ours.
  holds(memory[0] == 'r');
  kill(pid, SIGKILL);
  holds(ended(pid) == 1000 + SIGKILL);
  return 0;
}
