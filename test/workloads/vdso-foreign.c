// A process whose vdso is that of another kernel: its functions are elsewhere, are others, and one of them is a function
// that no vdso has (getpid). They count their calls, so that it is known whether they still run. A thread is in one of them
// nearly always; a child has inherited them.
// alone: it is run by test/conformance/vdso.test.ts
// kinds: mem/vdso
#include "workload.h"
#include <elf.h>
#include <sys/auxv.h>

enum { GETTIME, TIMEOFDAY, TIME, GETRES, GETPID, FUNCTIONS };
static const struct {
  const char *name;
  int nr;
} functions[FUNCTIONS] = {
  [GETTIME] = {"clock_gettime", SYS_clock_gettime},
  [TIMEOFDAY] = {"gettimeofday", SYS_gettimeofday},
  [TIME] = {"time", SYS_time},
  [GETRES] = {"clock_getres", SYS_clock_getres},
  [GETPID] = {"getpid", SYS_getpid},
};

/** Where this process knows its functions to be, as a C library does. */
static uintptr_t places[FUNCTIONS];
/** The vdso's data, in front of it: what another kernel has there, ours cannot give. */
static uintptr_t data;
static volatile int calls;
static volatile bool over;

#define CALL(function, type, ...) ((long (*)type)places[function])(__VA_ARGS__)
#define STUB_SIZE 48
#define CODE_SIZE 36

/** The code of a function at `place`, as a kernel might have it: it counts, looks at the vdso's data for some time, makes the call. */
static void write_stub(unsigned char *at, uintptr_t place, int nr) {
  static const unsigned char code[CODE_SIZE] = {
    0x48, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0,  // movabs rax, &calls
    0xf0, 0xff, 0x00,                    // lock inc dword [rax]
    0xb9, 0xc8, 0, 0, 0,                 // mov ecx, 200
    0x8b, 0x15, 0, 0, 0, 0,              // mov edx, [rip + data]
    0xff, 0xc9, 0x75, 0xf6,              // dec ecx, until it is 0
    0xb8, 0, 0, 0, 0, 0x0f, 0x05, 0xc3,  // mov eax, nr; syscall; ret
  };
  uintptr_t counter = (uintptr_t)&calls;
  int32_t to_data = (int32_t)(data - (place + 24));
  memcpy(at, code, CODE_SIZE);
  memcpy(at + 2, &counter, 8);
  memcpy(at + 20, &to_data, 4);
  memcpy(at + 29, &nr, 4);
}

static bool is_stub(int function) {
  unsigned char stub[CODE_SIZE];
  write_stub(stub, places[function], functions[function].nr);
  return memcmp((void *)places[function], stub, CODE_SIZE) == 0;
}

static uintptr_t find_data(void) {
  char line[512];
  unsigned long from = 0, found = 0;
  FILE *maps = fopen("/proc/self/maps", "r");
  must(maps != NULL);
  while (found == 0 && fgets(line, sizeof line, maps))
    if (strstr(line, "[vvar") && sscanf(line, "%lx-", &from) == 1) found = from;
  fclose(maps);
  must(found != 0);
  return found;
}

/** Makes the vdso one of another kernel: the body of its largest function is room for all of the new ones. */
static void rebuild(uintptr_t base) {
  Elf64_Ehdr *head = (Elf64_Ehdr *)base;
  Elf64_Phdr *segments = (Elf64_Phdr *)(base + head->e_phoff);
  Elf64_Dyn *dynamic = NULL;
  size_t size = 0;
  for (int i = 0; i < head->e_phnum; i++) {
    if (segments[i].p_type == PT_DYNAMIC) dynamic = (Elf64_Dyn *)(base + segments[i].p_offset);
    if (segments[i].p_type == PT_LOAD) size = (segments[i].p_memsz + PAGE - 1) / PAGE * PAGE;
  }
  must(dynamic != NULL && size > 0);
  must(mprotect((void *)base, size, PROT_READ | PROT_WRITE | PROT_EXEC) == 0);
  Elf64_Sym *symbols = NULL;
  char *strings = NULL;
  for (; dynamic->d_tag != DT_NULL; dynamic++) {
    if (dynamic->d_tag == DT_SYMTAB) symbols = (Elf64_Sym *)(base + dynamic->d_un.d_ptr);
    if (dynamic->d_tag == DT_STRTAB) strings = (char *)(base + dynamic->d_un.d_ptr);
  }
  must(symbols != NULL && strings != NULL);
  Elf64_Sym *room = symbols + 1;
  for (Elf64_Sym *s = symbols + 1; (char *)s < strings; s++) {
    // getcpu becomes getpid: a name of the same length.
    if (strcmp(strings + s->st_name, "__vdso_getcpu") == 0) memcpy(strings + s->st_name, "__vdso_getpid", 13);
    if (strcmp(strings + s->st_name, "getcpu") == 0) memcpy(strings + s->st_name, "getpid", 6);
    if (ELF64_ST_TYPE(s->st_info) == STT_FUNC && s->st_size > room->st_size) room = s;
  }
  // None begins where one began before.
  uintptr_t next = (base + room->st_value + STUB_SIZE + 15) & ~(uintptr_t)15;
  must(base + room->st_value + room->st_size >= next + FUNCTIONS * STUB_SIZE);
  memset((void *)(base + room->st_value), 0xcc, room->st_size);
  for (int i = 0; i < FUNCTIONS; i++, next += STUB_SIZE) {
    write_stub((unsigned char *)next, next, functions[i].nr);
    places[i] = next;
    int found = 0;
    for (Elf64_Sym *s = symbols + 1; (char *)s < strings; s++) {
      const char *name = strings + s->st_name;
      if (strncmp(name, "__vdso_", 7) == 0) name += 7;
      if (strcmp(name, functions[i].name) != 0) continue;
      s->st_value = next - base;
      found++;
    }
    must(found > 0);
  }
  must(mprotect((void *)base, size, PROT_READ | PROT_EXEC) == 0);
}

static int64_t ns_of(struct timespec t) { return t.tv_sec * 1000000000LL + t.tv_nsec; }

static bool tells_time(void) {
  struct timespec before, now, after;
  syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &before);
  if (CALL(GETTIME, (clockid_t, struct timespec *), CLOCK_MONOTONIC, &now) != 0) return false;
  syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &after);
  return ns_of(before) <= ns_of(now) && ns_of(now) <= ns_of(after);
}

static void all_tell(void) {
  check(tells_time());
  struct timeval before, now, after;
  syscall(SYS_gettimeofday, &before, NULL);
  check(CALL(TIMEOFDAY, (struct timeval *, void *), &now, NULL) == 0);
  syscall(SYS_gettimeofday, &after, NULL);
  check(!timercmp(&now, &before, <) && !timercmp(&after, &now, <));
  long from = syscall(SYS_time, NULL), then = CALL(TIME, (time_t *), NULL);
  check(from <= then && then <= syscall(SYS_time, NULL));
  struct timespec one, other;
  syscall(SYS_clock_getres, CLOCK_MONOTONIC, &one);
  check(CALL(GETRES, (clockid_t, struct timespec *), CLOCK_MONOTONIC, &other) == 0 && ns_of(one) == ns_of(other));
  check(CALL(GETPID, (void)) == syscall(SYS_getpid));
}

/** Calls all of them: the vdso of another kernel runs itself, or, once it has been led elsewhere, nothing of it does. */
static void look(void) {
  int stubs = 0, before = calls;
  for (int i = 0; i < FUNCTIONS; i++) stubs += is_stub(i);
  check(stubs == 0 || stubs == FUNCTIONS);
  all_tell();
  check(calls == before + stubs);
}

static void *reads_on(void *unused) {
  (void)unused;
  while (!over && check(tells_time())) continue;
  return NULL;
}

/** Does nothing else, and so is in the vdso nearly always. */
static void *stays_in(void *unused) {
  (void)unused;
  struct timespec last = {0}, now;
  while (!over) {
    CALL(GETTIME, (clockid_t, struct timespec *), CLOCK_MONOTONIC, &now);
    if (!check(ns_of(now) >= ns_of(last))) break;
    last = now;
  }
  return NULL;
}

static void inherits(void *unused) {
  (void)unused;
  prepared();
  wait_for_go();
  look();
}

int main(int argc, char **argv) {
  start(argc, argv);
  data = find_data();
  rebuild(getauxval(AT_SYSINFO_EHDR));
  look();
  pid_t child = fork_child(inherits, NULL);
  pthread_t readers[2];
  must(pthread_create(&readers[0], NULL, reads_on, NULL) == 0);
  must(pthread_create(&readers[1], NULL, stays_in, NULL) == 0);
  await_prepared(1);
  ready();
  wait_for_go();
  over = true;
  for (size_t i = 0; i < COUNT(readers); i++) must(pthread_join(readers[i], NULL) == 0);
  look();
  check(ended_well(child));
  return pass();
}
