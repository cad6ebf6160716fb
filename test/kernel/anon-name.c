// A mapping named by PR_SET_VMA_ANON_NAME shows as [anon:name] in maps and smaps, so that one left behind can be found; a name
// keeps it apart from neighbours.
#include "kernel.h"
#include <linux/prctl.h>

int main(void) {
  char *at = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, at, PAGE, "bardo") != 0) skip("no PR_SET_VMA_ANON_NAME: CONFIG_ANON_VMA_NAME is off");
  char line[512], head[64];
  snprintf(head, sizeof head, "%lx-%lx ", (long)at, (long)at + PAGE);
  FILE *maps = fopen("/proc/self/maps", "r");
  bool found = false;
  while (fgets(line, sizeof line, maps)) found |= strncmp(line, head, strlen(head)) == 0 && strstr(line, " [anon:bardo]\n") != NULL;
  holds(found);
  return 0;
}
