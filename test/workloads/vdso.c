// The vdso and its data: one child has moved them elsewhere and calls them there; one has unmapped them; the parent
// goes on using them where they were.
// kinds: mem/mappings mem/vdso
#include "workload.h"
#include <elf.h>
#include <sys/auxv.h>

typedef int (*gettime_fn)(clockid_t, struct timespec *);

struct region {
  uintptr_t from, to;
  bool vdso;
};

static int regions(struct region *found, int max) {
  static char text[1 << 16];
  int fd = open("/proc/self/maps", O_RDONLY), count = 0;
  size_t all = 0;
  ssize_t n;
  while ((n = read(fd, text + all, sizeof text - 1 - all)) > 0) all += (size_t)n;
  close(fd);
  text[all] = 0;
  for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
    bool vdso = strstr(line, "[vdso]") != NULL;
    if (!vdso && !strstr(line, "[vvar")) continue;
    must(count < max);
    sscanf(line, "%lx-%lx", &found[count].from, &found[count].to);
    found[count++].vdso = vdso;
  }
  return count;
}

/** The offset of __vdso_clock_gettime in the vdso. */
static uintptr_t gettime_offset(uintptr_t base) {
  Elf64_Ehdr *head = (Elf64_Ehdr *)base;
  Elf64_Phdr *segments = (Elf64_Phdr *)(base + head->e_phoff);
  Elf64_Dyn *dynamic = NULL;
  for (int i = 0; i < head->e_phnum; i++)
    if (segments[i].p_type == PT_DYNAMIC) dynamic = (Elf64_Dyn *)(base + segments[i].p_offset);
  must(dynamic != NULL);
  Elf64_Sym *symbols = NULL;
  const char *strings = NULL;
  for (; dynamic->d_tag != DT_NULL; dynamic++) {
    if (dynamic->d_tag == DT_SYMTAB) symbols = (Elf64_Sym *)(base + dynamic->d_un.d_ptr);
    if (dynamic->d_tag == DT_STRTAB) strings = (const char *)(base + dynamic->d_un.d_ptr);
  }
  must(symbols != NULL && strings != NULL);
  for (Elf64_Sym *s = symbols + 1; (char *)s < strings; s++)
    if (strcmp(strings + s->st_name, "__vdso_clock_gettime") == 0) return s->st_value;
  must(!"the vdso has clock_gettime");
  return 0;
}

static bool tells_time(gettime_fn gettime) {
  struct timespec before, now, after;
  syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &before);
  if (gettime(CLOCK_MONOTONIC, &now) != 0) return false;
  syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &after);
  int64_t a = before.tv_sec * 1000000000LL + before.tv_nsec, b = now.tv_sec * 1000000000LL + now.tv_nsec;
  return a <= b && b <= after.tv_sec * 1000000000LL + after.tv_nsec;
}

static void moved(void *unused) {
  (void)unused;
  struct region all[8], now[8];
  int count = regions(all, 8), vdso = 0;
  uintptr_t size = all[count - 1].to - all[0].from;
  uintptr_t to = (uintptr_t)mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  must((void *)to != MAP_FAILED);
  for (int i = 0; i < count; i++) {
    size_t bytes = all[i].to - all[i].from;
    void *at = (void *)(to + all[i].from - all[0].from);
    must(mremap((void *)all[i].from, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, at) == at);
    if (all[i].vdso) vdso = i;
  }
  uintptr_t base = to + all[vdso].from - all[0].from;
  gettime_fn gettime = (gettime_fn)(base + gettime_offset(base));
  must(tells_time(gettime));
  prepared();
  wait_for_go();
  check(regions(now, 8) == count && now[0].from == to);
  check(tells_time(gettime));
}

static void unmapped(void *unused) {
  (void)unused;
  struct region all[8];
  int count = regions(all, 8);
  for (int i = 0; i < count; i++) must(munmap((void *)all[i].from, all[i].to - all[i].from) == 0);
  prepared();
  wait_for_go();
  check(regions(all, 8) == 0);
}

int main(int argc, char **argv) {
  start(argc, argv);
  uintptr_t base = getauxval(AT_SYSINFO_EHDR);
  gettime_fn gettime = (gettime_fn)(base + gettime_offset(base));
  must(tells_time(gettime));
  pid_t pids[] = {fork_child(moved, NULL), fork_child(unmapped, NULL)};
  await_prepared(2);
  ready();
  wait_for_go();
  check(tells_time(gettime));
  struct timespec now;
  check(clock_gettime(CLOCK_REALTIME, &now) == 0 && now.tv_sec > 1600000000);
  for (size_t i = 0; i < COUNT(pids); i++) check(ended_well(pids[i]));
  return pass();
}
