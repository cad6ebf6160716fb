// Pipes: with data, full, resized, with one end only, not blocking, with both ends in one description, opened again
// through /proc, shared by parent and child, and with a child blocked in each direction.
// kinds: fd/pipe fd/queue
#include "workload.h"

static void make(int fds[2], int flags) { must(pipe2(fds, flags) == 0); }

static void put(int fd, size_t size, unsigned seed) {
  unsigned char *data = malloc(size);
  fill_pattern(data, size, seed);
  must(write(fd, data, size) == (ssize_t)size);
  free(data);
}

static bool gets_back(int fd, size_t size, unsigned seed) {
  unsigned char *data = malloc(size);
  size_t all = 0;
  ssize_t n;
  while (all < size && (n = read(fd, data + all, size - all)) > 0) all += (size_t)n;
  bool good = all == size && has_pattern(data, size, seed);
  free(data);
  return good;
}

static int waiting(int fd) {
  int n = -1;
  ioctl(fd, FIONREAD, &n);
  return n;
}

static int to_child[2], blocked_reader[2], blocked_writer[2];

static void child(void *unused) {
  (void)unused;
  close(to_child[1]);
  prepared();
  wait_for_go();
  check(gets_back(to_child[0], 1000, 21));
  char byte;
  // Its parent has closed the last end for writing.
  check(read(to_child[0], &byte, 1) == 0);
}

static void reads(void *unused) {
  (void)unused;
  prepared();
  char text[4] = "";
  // Blocked here while the tree is stopped: the call goes on, it does not come back with EINTR.
  check(read(blocked_reader[0], text, 3) == 3 && strcmp(text, "yes") == 0);
}

static void writes(void *unused) {
  (void)unused;
  prepared();
  unsigned char data[5000];
  fill_pattern(data, sizeof data, 32);
  check(write(blocked_writer[1], data, sizeof data) == sizeof data);
}

int main(int argc, char **argv) {
  start(argc, argv);
  signal(SIGPIPE, SIG_IGN);
  int small[2], full[2], large[2], no_writer[2], no_reader[2], lazy[2], high[2], empty[2], tiny[2];
  make(small, 0);
  put(small[1], 777, 1);
  put(small[1], 3, 2);
  make(full, O_NONBLOCK);
  put(full[1], 65536, 3);
  make(large, O_CLOEXEC);
  must(fcntl(large[1], F_SETPIPE_SZ, 1 << 20) == 1 << 20);
  put(large[1], 1 << 20, 4);
  make(no_writer, 0);
  put(no_writer[1], 500, 5);
  close(no_writer[1]);
  make(no_reader, 0);
  close(no_reader[0]);
  make(lazy, 0);
  must(fcntl(lazy[1], F_SETFL, O_NONBLOCK) == 0);
  make(high, 0);
  must(dup2(high[0], 500) == 500 && close(high[0]) == 0);
  put(high[1], 10, 6);
  make(empty, 0);
  make(tiny, 0);
  must(fcntl(tiny[0], F_SETPIPE_SZ, PAGE) == PAGE);

  // A second description of the reading end, not blocking while the first one blocks; and one for both directions.
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fd/%d", small[0]);
  int again = open(path, O_RDONLY | O_NONBLOCK), both = open(path, O_RDWR);
  must(again >= 0 && both >= 0);
  int copy = dup(small[1]);

  make(to_child, 0);
  make(blocked_reader, 0);
  make(blocked_writer, 0);
  put(blocked_writer[1], 65536, 31);
  put(to_child[1], 1000, 21);
  pid_t pids[] = {fork_child(child, NULL), fork_child(reads, NULL), fork_child(writes, NULL)};
  await_prepared(3);
  usleep(20000);
  ready();
  wait_for_go();

  check(waiting(small[0]) == 780 && waiting(again) == 780);
  check(gets_back(small[0], 777, 1) && gets_back(both, 3, 2));
  char byte;
  check(read(again, &byte, 1) == -1 && errno == EAGAIN);
  check(write(both, "b", 1) == 1 && read(small[0], &byte, 1) == 1 && byte == 'b');
  check(write(copy, "c", 1) == 1 && read(again, &byte, 1) == 1 && byte == 'c');
  check(!(fcntl(small[0], F_GETFL) & O_NONBLOCK) && (fcntl(again, F_GETFL) & O_NONBLOCK));
  check((fcntl(both, F_GETFL) & O_ACCMODE) == O_RDWR);

  check(write(full[1], "x", 1) == -1 && errno == EAGAIN);
  check(gets_back(full[0], 65536, 3) && read(full[0], &byte, 1) == -1 && errno == EAGAIN);
  check(fcntl(large[0], F_GETPIPE_SZ) == 1 << 20 && fcntl(large[0], F_GETFD) == FD_CLOEXEC);
  check(gets_back(large[0], 1 << 20, 4));
  check(fcntl(tiny[1], F_GETPIPE_SZ) == PAGE && fcntl(small[0], F_GETPIPE_SZ) == 65536);
  check(gets_back(no_writer[0], 500, 5) && read(no_writer[0], &byte, 1) == 0);
  check(write(no_reader[1], "x", 1) == -1 && errno == EPIPE);
  check((fcntl(lazy[1], F_GETFL) & O_NONBLOCK) && !(fcntl(lazy[0], F_GETFL) & O_NONBLOCK));
  check(gets_back(500, 10, 6) && waiting(empty[0]) == 0);
  check(write(empty[1], "e", 1) == 1 && read(empty[0], &byte, 1) == 1 && byte == 'e');

  close(to_child[1]);
  check(write(blocked_reader[1], "yes", 3) == 3);
  check(gets_back(blocked_writer[0], 65536, 31) && gets_back(blocked_writer[0], 5000, 32));
  for (size_t i = 0; i < COUNT(pids); i++) check(ended_well(pids[i]));
  return pass();
}
