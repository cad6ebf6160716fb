// With the personality READ_IMPLIES_EXEC every mapping made readable becomes executable too: it must be set after the memory
// is in place.
#include "kernel.h"
#include <sys/personality.h>

static bool executable(void *at) {
  char line[512], head[32];
  snprintf(head, sizeof head, "%lx-", (long)at);
  FILE *maps = fopen("/proc/self/maps", "r");
  bool found = false, answer = false;
  while (!found && fgets(line, sizeof line, maps)) {
    found = strncmp(line, head, strlen(head)) == 0;
    answer = found && strchr(line, ' ')[3] == 'x';
  }
  fclose(maps);
  holds(found);
  return answer;
}

int main(void) {
  // A page that nothing can reach lies around each, so that each is a line of maps.
  char *room = mmap(NULL, 5 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *before = room + PAGE, *after = room + 3 * PAGE;
  int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
  holds(mmap(before, PAGE, PROT_READ | PROT_WRITE, flags, -1, 0) == before);
  holds(personality(READ_IMPLIES_EXEC) >= 0);
  holds(mmap(after, PAGE, PROT_READ | PROT_WRITE, flags, -1, 0) == after);
  holds(!executable(before) && executable(after));
  return 0;
}
