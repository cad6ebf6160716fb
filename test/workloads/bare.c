// The smallest process there is: static, no C library, no heap, no thread pointer, no descriptor of its own.
// kinds: mem/mappings mem/pages task/x86-registers
// cc: -nostdlib -static -fno-stack-protector -fno-builtin -fno-tree-loop-distribute-patterns
static long call(long nr, long a, long b, long c) {
  long result;
  __asm__ volatile("syscall" : "=a"(result) : "a"(nr), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
  return result;
}

enum { NR_WRITE = 1, NR_OPEN = 2, NR_CLOSE = 3, NR_EXIT = 60, O_WRONLY_APPEND = 02001, MINUS_EINTR = -4 };

static char path[4096], value[3] = "abc";

static const char *in_run(const char *folder, const char *name) {
  char *to = path;
  while (*folder) *to++ = *folder++;
  *to++ = '/';
  while (*name) *to++ = *name++;
  *to = 0;
  return path;
}

static void append(const char *folder, const char *name, const char *text, long size) {
  long fd = call(NR_OPEN, (long)in_run(folder, name), O_WRONLY_APPEND, 0);
  call(NR_WRITE, fd, (long)text, size);
  call(NR_CLOSE, fd, 0, 0);
}

__attribute__((used)) static void run(long *stack) {
  const char *folder = (const char *)stack[2];
  long fd;
  value[1] = 'x';
  append(folder, "ready", "0\n", 2);
  while ((fd = call(NR_OPEN, (long)in_run(folder, "go"), 0, 0)) == MINUS_EINTR) continue;
  int good = fd >= 0 && value[0] == 'a' && value[1] == 'x' && value[2] == 'c' && stack[0] == 2;
  append(folder, "result", good ? "PASS\n" : "FAIL\n", 5);
  call(NR_EXIT, good ? 0 : 1, 0, 0);
}

__attribute__((naked)) void _start(void) { __asm__("mov %rsp, %rdi\n and $-16, %rsp\n call run\n hlt"); }
