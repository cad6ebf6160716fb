// A memfd is not sealed against writing while a shared mapping could come to write: one that was made through a description
// that writes, though it only reads, stands in the way; one through a description that only reads does not.
// F_SEAL_FUTURE_WRITE leaves writing mappings be. memfd_create without MFD_ALLOW_SEALING gives F_SEAL_SEAL.
#include "kernel.h"

#define F_ADD_SEALS_ 1033
#define F_GET_SEALS_ 1034
enum { SEAL_SEAL = 1, SEAL_WRITE = 8, SEAL_FUTURE_WRITE = 16 };

static int make(void) {
  int fd = (int)syscall(SYS_memfd_create, "x", 2);
  holds(fd >= 0 && ftruncate(fd, PAGE) == 0 && fcntl(fd, F_GET_SEALS_) == 0);
  return fd;
}

static int for_reading(int fd) {
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  return open(path, O_RDONLY);
}

int main(void) {
  int writes = make(), reads = make(), future = make();
  holds(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, writes, 0) != MAP_FAILED);
  holds(fcntl(writes, F_ADD_SEALS_, SEAL_WRITE) == -1 && errno == EBUSY);
  holds(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, for_reading(reads), 0) != MAP_FAILED);
  holds(fcntl(reads, F_ADD_SEALS_, SEAL_WRITE) == 0);
  char *at = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, future, 0);
  holds(at != MAP_FAILED && fcntl(future, F_ADD_SEALS_, SEAL_FUTURE_WRITE) == 0);
  at[0] = 'x';
  holds(write(future, "x", 1) == -1 && errno == EPERM);
  holds(fcntl((int)syscall(SYS_memfd_create, "x", 0), F_GET_SEALS_) == SEAL_SEAL);
  return 0;
}
