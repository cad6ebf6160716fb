// The vdso and its data can be moved by mremap, each mapping by itself; they keep their names there.
#include "kernel.h"

int main(void) {
  FILE *maps = fopen("/proc/self/maps", "r");
  char line[512];
  struct { unsigned long from, to; bool vdso; } found[8];
  int count = 0;
  while (fgets(line, sizeof line, maps)) {
    if (!strstr(line, "[vdso]") && !strstr(line, "[vvar")) continue;
    holds(count < 8 && sscanf(line, "%lx-%lx", &found[count].from, &found[count].to) == 2);
    found[count++].vdso = strstr(line, "[vdso]") != NULL;
  }
  fclose(maps);
  holds(count >= 2);
  unsigned long size = found[count - 1].to - found[0].from;
  char *to = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  holds(to != MAP_FAILED);
  for (int i = 0; i < count; i++) {
    size_t bytes = found[i].to - found[i].from;
    char *at = to + (found[i].from - found[0].from);
    holds(mremap((void *)found[i].from, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, at) == at);
  }
  // No library function that may use the vdso from here on.
  int fd = open("/proc/self/maps", O_RDONLY), all = 0;
  static char text[1 << 16];
  ssize_t n;
  while ((n = read(fd, text + all, sizeof text - 1 - (size_t)all)) > 0) all += (int)n;
  for (int i = 0; i < count; i++) {
    char head[40];
    snprintf(head, sizeof head, "%lx-%lx ", (unsigned long)to + found[i].from - found[0].from, (unsigned long)to + found[i].to - found[0].from);
    char *at = strstr(text, head);
    holds(at != NULL);
    *strchr(at, '\n') = 0;
    holds(strstr(at, found[i].vdso ? "[vdso]" : "[vvar") != NULL);
    at[strlen(at)] = '\n';
  }
  return 0;
}
