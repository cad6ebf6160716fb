// Mappings of every plain sort: anonymous, of files, private and shared, of every protection, sparse, locked, advised,
// growing down, of /dev/zero, with holes punched by mprotect and munmap.
// kinds: mem/mappings mem/pages
#include "workload.h"

static void *map(size_t pages, int protection, int flags, int fd, off_t offset) {
  void *at = mmap(NULL, pages * PAGE, protection, flags, fd, offset);
  must(at != MAP_FAILED);
  return at;
}

static int make_file(const char *name, size_t pages, unsigned seed) {
  static unsigned char page[PAGE];
  int fd = open(in_run(name), O_RDWR | O_CREAT | O_TRUNC, 0600);
  must(fd >= 0);
  for (size_t i = 0; i < pages; i++) {
    fill_pattern(page, PAGE, seed + (unsigned)i);
    must(write(fd, page, PAGE) == PAGE);
  }
  return fd;
}

/** Whether reading or writing there faults: asked of the kernel, so that no handler is needed. */
static bool readable(void *at) {
  struct iovec local = {&(char){0}, 1}, remote = {at, 1};
  return process_vm_readv(getpid(), &local, 1, &remote, 1, 0) == 1;
}

static bool writable(void *at) {
  int fd = open("/proc/self/stat", O_RDONLY);
  ssize_t got = read(fd, at, 1);
  close(fd);
  return got == 1;
}

#define RW (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)

int main(int argc, char **argv) {
  start(argc, argv);
  unsigned char *dense = map(300, RW, ANON, -1, 0);
  fill_pattern(dense, 300 * PAGE, 1);
  unsigned char *sparse = map(1 << 18, RW, ANON | MAP_NORESERVE, -1, 0);
  for (size_t i = 0; i < 1 << 18; i += 4999) sparse[i * PAGE + i % PAGE] = (unsigned char)(i + 1);
  unsigned char *every_second = map(512, RW, ANON, -1, 0);
  for (size_t i = 0; i < 512; i += 2) fill_pattern(every_second + i * PAGE, PAGE, (unsigned)i);
  unsigned char *zeros_read = map(8, RW, ANON, -1, 0);
  volatile int sum = 0;
  for (int i = 0; i < 8; i++) sum += zeros_read[i * PAGE];
  unsigned char *zeros_written = map(8, RW, ANON, -1, 0);
  memset(zeros_written, 0, 8 * PAGE);

  unsigned char *read_only = map(4, RW, ANON, -1, 0);
  fill_pattern(read_only, 4 * PAGE, 2);
  must(mprotect(read_only, 4 * PAGE, PROT_READ) == 0);
  unsigned char *hidden = map(4, RW, ANON, -1, 0);
  fill_pattern(hidden, 4 * PAGE, 3);
  must(mprotect(hidden, 4 * PAGE, PROT_NONE) == 0);
  unsigned char *never = map(16, PROT_NONE, ANON | MAP_NORESERVE, -1, 0);
  unsigned char *code = map(1, RW, ANON, -1, 0);
  memcpy(code, "\xb8\x2a\x00\x00\x00\xc3", 6);  // mov $42, %eax; ret
  must(mprotect(code, PAGE, PROT_READ | PROT_EXEC) == 0);
  unsigned char *striped = map(9, RW, ANON, -1, 0);
  fill_pattern(striped, 9 * PAGE, 4);
  for (int i = 0; i < 9; i += 3) must(mprotect(striped + i * PAGE, PAGE, PROT_READ) == 0);

  int fd = make_file("mapped", 6, 100);
  unsigned char *file_private = map(6, RW, MAP_PRIVATE, fd, 0);
  file_private[2 * PAGE + 7] ^= 0xff;
  unsigned char *file_read = map(2, PROT_READ, MAP_PRIVATE, fd, 3 * PAGE);
  unsigned char *file_shared = map(6, RW, MAP_SHARED, fd, 0);
  file_shared[5 * PAGE] = 0x77;
  unsigned char *file_shared_read = map(1, PROT_READ, MAP_SHARED, fd, PAGE);
  unsigned char *file_was_written = map(6, RW, MAP_PRIVATE, fd, 0);
  file_was_written[0] ^= 0xff;
  must(mprotect(file_was_written, 6 * PAGE, PROT_READ) == 0);
  close(fd);
  int end = make_file("short", 1, 200);
  must(ftruncate(end, 100) == 0);
  unsigned char *beyond = map(3, RW, MAP_PRIVATE, end, 0);
  beyond[50] = 0x55;
  close(end);
  int zero = open("/dev/zero", O_RDWR);
  unsigned char *dev_zero = map(3, RW, MAP_PRIVATE, zero, 0);
  dev_zero[PAGE] = 9;
  close(zero);

  unsigned char *locked = map(2, RW, ANON, -1, 0);
  must(mlock(locked, 2 * PAGE) == 0);
  locked[0] = 5;
  unsigned char *advised = map(5, RW, ANON, -1, 0);
  int advice[] = {MADV_DONTFORK, MADV_DONTDUMP, MADV_SEQUENTIAL, MADV_RANDOM, MADV_NOHUGEPAGE};
  for (int i = 0; i < 5; i++) must(madvise(advised + i * PAGE, PAGE, advice[i]) == 0);
  fill_pattern(advised, 5 * PAGE, 6);
  // Room below, so that the kernel's guard gap does not stop it.
  unsigned char *room = map(600, PROT_NONE, ANON | MAP_NORESERVE, -1, 0);
  must(munmap(room, 600 * PAGE) == 0);
  unsigned char *down = mmap(room + 500 * PAGE, 4 * PAGE, RW, ANON | MAP_GROWSDOWN | MAP_FIXED_NOREPLACE, -1, 0);
  must(down == room + 500 * PAGE);
  fill_pattern(down, 4 * PAGE, 7);
  // Last: a later mapping would fill the hole.
  must(munmap(striped + 4 * PAGE, PAGE) == 0);
  ready();
  wait_for_go();

  check(has_pattern(dense, 300 * PAGE, 1));
  bool good = true;
  for (size_t i = 0; i < 1 << 18; i += 4999) good &= sparse[i * PAGE + i % PAGE] == (unsigned char)(i + 1);
  check(good && sparse[PAGE] == 0 && sparse[12345 * PAGE] == 0);
  good = true;
  for (size_t i = 0; i < 512; i++)
    good &= i % 2 ? every_second[i * PAGE] == 0 : has_pattern(every_second + i * PAGE, PAGE, (unsigned)i);
  check(good);
  for (int i = 0; i < 8 * PAGE; i++) good &= zeros_read[i] == 0 && zeros_written[i] == 0;
  check(good && sum == 0);
  zeros_read[0] = zeros_written[0] = 1;

  check(has_pattern(read_only, 4 * PAGE, 2) && !writable(read_only));
  check(!readable(hidden) && !readable(never) && !writable(never));
  check(mprotect(hidden, 4 * PAGE, PROT_READ) == 0 && has_pattern(hidden, 4 * PAGE, 3));
  check(((int (*)(void))code)() == 42 && !writable(code));
  check(has_pattern(striped, 4 * PAGE, 4) && !readable(striped + 4 * PAGE));
  for (int i = 0; i < 9; i++)
    if (i != 4) check(writable(striped + i * PAGE) == (i % 3 != 0));

  check(has_pattern(file_private, PAGE, 100) && has_pattern(file_private + 4 * PAGE, PAGE, 104));
  check(file_private[2 * PAGE + 7] == (pattern_byte(102, 7) ^ 0xff));
  check(has_pattern(file_read, PAGE, 103) && has_pattern(file_read + PAGE, PAGE, 104) && !writable(file_read));
  check(file_shared[5 * PAGE] == 0x77 && has_pattern(file_shared_read, PAGE, 101));
  check(file_was_written[0] == (pattern_byte(100, 0) ^ 0xff) && !writable(file_was_written));
  fd = open(in_run("mapped"), O_RDWR);
  char byte = 0x66;
  check(pread(fd, &byte, 1, 5 * PAGE) == 1 && byte == 0x77);
  byte = 0x66;
  check(pwrite(fd, &byte, 1, PAGE + 9) == 1 && file_shared[PAGE + 9] == 0x66 && file_shared_read[9] == 0x66);
  // A private page that was never written still shows the file.
  check(file_private[PAGE + 9] == 0x66);
  file_shared[3 * PAGE] = 0x44;
  check(pread(fd, &byte, 1, 3 * PAGE) == 1 && byte == 0x44);
  close(fd);
  check(beyond[50] == 0x55 && beyond[49] == pattern_byte(200, 49) && beyond[101] == 0 && !readable(beyond + PAGE));
  check(dev_zero[0] == 0 && dev_zero[PAGE] == 9);
  dev_zero[2 * PAGE] = 1;

  check(locked[0] == 5 && has_pattern(advised, 5 * PAGE, 6));
  unsigned char resident[2];
  check(mincore(locked, 2 * PAGE, resident) == 0 && (resident[0] & 1) && (resident[1] & 1));
  check(has_pattern(down, 4 * PAGE, 7));
  down[-1] = 1;
  check(down[-1] == 1);
  return pass();
}
