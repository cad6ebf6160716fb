// A stopped task writes its own memory to a file that it was given, by pwritev made in it: mappings it can only read go
// too, those that it cannot read (PROT_NONE) answer EFAULT or end the count early.
#include "kernel.h"

static char *memory;
static struct iovec *table;

static void waits(void) { for (;;) pause(); }

int main(void) {
  int fd = memfd_create("image", 0);
  memory = mmap(NULL, 6 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  for (int i = 0; i < 6; i++) memset(memory + i * PAGE, 'a' + i, PAGE);
  holds(mprotect(memory + PAGE, PAGE, PROT_READ) == 0 && mprotect(memory + 4 * PAGE, PAGE, PROT_NONE) == 0);
  table = shared_page();
  table[0] = (struct iovec){memory, 2 * PAGE};
  table[1] = (struct iovec){memory + 3 * PAGE, PAGE};
  table[2] = (struct iovec){memory + 4 * PAGE, 2 * PAGE};
  pid_t pid = child_of(waits);
  until_asleep(pid);
  seize(pid, 0);
  interrupt(pid);
  holds(remote(pid, SYS_pwritev, fd, (long)table, 2, 0, 0, 0) == 3 * PAGE);
  char back[3 * PAGE];
  holds(pread(fd, back, sizeof back, 0) == sizeof back);
  holds(back[0] == 'a' && back[PAGE] == 'b' && back[2 * PAGE] == 'd');
  holds(remote(pid, SYS_pwritev, fd, (long)(table + 2), 1, 0, 0, 0) == -EFAULT);
  holds(remote(pid, SYS_pwritev, fd, (long)table, 3, 0, 0, 0) == 3 * PAGE);
  kill(pid, SIGKILL);
  holds(ended(pid) == 1000 + SIGKILL);
  return 0;
}
