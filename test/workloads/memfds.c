// Memfds: sealed, sparse, of an odd size, empty, with several descriptions and positions, mapped shared and private,
// mapped and without a descriptor, mapped before they were sealed, by a name of odd bytes, shared with a child.
// kinds: fd/memfd mem/shared
#include "workload.h"

#ifndef F_ADD_SEALS
#define F_ADD_SEALS 1033
#define F_GET_SEALS 1034
#endif
#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x10
#endif
#define MFD_CLOEXEC 1
#define MFD_ALLOW_SEALING 2
#define ODD (3 * PAGE + 5)
#define LARGE (1ull << 33)

static int make(const char *name, unsigned flags, size_t size, unsigned seed) {
  int fd = memfd_create(name, flags);
  unsigned char *data = malloc(size + 1);
  fill_pattern(data, size, seed);
  must(fd >= 0 && pwrite(fd, data, size, 0) == (ssize_t)size);
  free(data);
  return fd;
}

static bool has(int fd, size_t size, unsigned seed) {
  unsigned char *data = malloc(size + 1);
  bool good = pread(fd, data, size + 1, 0) == (ssize_t)size && has_pattern(data, size, seed);
  free(data);
  return good;
}

static int again(int fd, int flags) {
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  int opened = open(path, flags);
  must(opened >= 0);
  return opened;
}

static char *map(int fd, int prot, int flags) {
  char *at = mmap(NULL, 2 * PAGE, prot, flags, fd, PAGE);
  must(at != MAP_FAILED);
  return at;
}

static char *shared;

static void child(void *unused) {
  (void)unused;
  prepared();
  wait_for_go();
  check(!strcmp(shared, "from the parent"));
  strcpy(shared + 100, "from the child");
}

int main(int argc, char **argv) {
  start(argc, argv);
  int odd = make("odd", MFD_CLOEXEC, ODD, 1), empty = memfd_create("", 0);
  int large = memfd_create("large \xff\n \xe2\x82\xac", 0);
  must(ftruncate(large, LARGE) == 0 && pwrite(large, "middle", 6, LARGE / 2 + 7) == 6 && pwrite(large, "z", 1, LARGE - 1) == 1);
  must(fchmod(odd, 0640) == 0 && lseek(odd, 7, SEEK_SET) == 7);
  int reads = again(odd, O_RDONLY), both = again(odd, O_RDWR | O_APPEND), path = again(odd, O_PATH);
  must(lseek(reads, 100, SEEK_SET) == 100);
  int copy = dup(odd);

  int sealed = make("sealed", MFD_ALLOW_SEALING, 3 * PAGE, 2), open_to_seals = make("open", MFD_ALLOW_SEALING, 10, 3);
  must(fcntl(sealed, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) == 0);
  int future = make("future", MFD_ALLOW_SEALING, 3 * PAGE, 4);
  char *writes = map(future, PROT_READ | PROT_WRITE, MAP_SHARED);
  must(fcntl(future, F_ADD_SEALS, F_SEAL_FUTURE_WRITE) == 0);
  char *sealed_map = map(again(sealed, O_RDONLY), PROT_READ, MAP_SHARED);

  int mapped = make("mapped", 0, 3 * PAGE, 5);
  char *private = map(mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE), *view = map(mapped, PROT_READ, MAP_SHARED);
  private[3] = 'p';
  shared = map(mapped, PROT_READ | PROT_WRITE, MAP_SHARED);
  strcpy(shared, "from the parent");
  must(close(mapped) == 0);
  int only = make("only mapped", 0, 3 * PAGE, 6);
  char *alone = map(only, PROT_READ, MAP_SHARED);
  must(close(only) == 0);
  pid_t pid = fork_child(child, NULL);
  await_prepared(1);
  ready();
  wait_for_go();

  struct stat st, other;
  check(has(odd, ODD, 1) && lseek(odd, 0, SEEK_CUR) == 7 && lseek(copy, 0, SEEK_CUR) == 7 && lseek(reads, 0, SEEK_CUR) == 100);
  check(fstat(odd, &st) == 0 && st.st_size == ODD && (st.st_mode & 07777) == 0640 && st.st_uid == getuid());
  check(fstat(reads, &other) == 0 && other.st_ino == st.st_ino && fstat(path, &other) == 0 && other.st_ino == st.st_ino);
  check(write(reads, "x", 1) == -1 && write(both, "end", 3) == 3 && lseek(odd, 0, SEEK_END) == ODD + 3);
  check((fcntl(path, F_GETFL) & O_PATH) && (fcntl(both, F_GETFL) & O_APPEND) && fcntl(odd, F_GETFD) == FD_CLOEXEC);
  check(fcntl(odd, F_GET_SEALS) == F_SEAL_SEAL);
  check(fstat(empty, &st) == 0 && st.st_size == 0);

  char text[8] = "", target[64], name[64] = "";
  check(fstat(large, &st) == 0 && st.st_size == (off_t)LARGE && st.st_blocks <= 2 * PAGE / 512);
  check(pread(large, text, 6, LARGE / 2 + 7) == 6 && !strcmp(text, "middle") && pread(large, text, 1, LARGE - 1) == 1 && *text == 'z');
  snprintf(target, sizeof target, "/proc/self/fd/%d", large);
  check(readlink(target, name, sizeof name - 1) > 0 && !strcmp(name, "/memfd:large \xff\n \xe2\x82\xac (deleted)"));

  check(has(sealed, 3 * PAGE, 2) && fcntl(sealed, F_GET_SEALS) == (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL));
  check(write(sealed, "x", 1) == -1 && errno == EPERM && sealed_map[0] == (char)pattern_byte(2, PAGE));
  check(fcntl(open_to_seals, F_GET_SEALS) == 0 && fcntl(open_to_seals, F_ADD_SEALS, F_SEAL_WRITE) == 0);
  check(fcntl(future, F_GET_SEALS) == F_SEAL_FUTURE_WRITE && pwrite(future, "x", 1, 0) == -1 && errno == EPERM);
  writes[1] = 'w';
  check(pread(future, text, 1, PAGE + 1) == 1 && *text == 'w');

  check(private[3] == 'p' && private[4] == (char)pattern_byte(5, PAGE + 4) && private[PAGE] == (char)pattern_byte(5, 2 * PAGE));
  check(has_pattern(alone + PAGE, 0, 6) && alone[9] == (char)pattern_byte(6, PAGE + 9) && view[200] == (char)pattern_byte(5, PAGE + 200));
  check(ended_well(pid) && !strcmp(view + 100, "from the child") && !strcmp(view, "from the parent"));
  return pass();
}
