// FIFOs: with data, opened for reading, for writing and for both, one that nobody writes to, shared with a child.
// kinds: fd/fifo fd/queue fd/path
#include "workload.h"

static int make(const char *name, int flags) {
  int fd = open(in_run(name), flags);
  must(fd >= 0);
  return fd;
}

static int reader, writer;

static void child(void *unused) {
  (void)unused;
  close(writer);
  prepared();
  wait_for_go();
  char text[16] = "";
  check(read(reader, text, 5) == 5 && memcmp(text, "queue", 5) == 0);
}

int main(int argc, char **argv) {
  start(argc, argv);
  must(mkfifo(in_run("one"), 0600) == 0 && mkfifo(in_run("two"), 0644) == 0 && mkfifo(in_run("odd\n\xff"), 0600) == 0);
  int both = make("one", O_RDWR);
  reader = make("one", O_RDONLY);
  writer = make("one", O_WRONLY | O_NONBLOCK | O_CLOEXEC);
  must(write(both, "queued data", 11) == 11);
  int alone = make("two", O_RDONLY | O_NONBLOCK), odd = make("odd\n\xff", O_RDWR | O_NONBLOCK);
  must(fcntl(odd, F_SETPIPE_SZ, 4 * PAGE) == 4 * PAGE);
  int copy = dup(reader);
  pid_t pid = fork_child(child, NULL);
  await_prepared(1);
  ready();
  wait_for_go();
  check(ended_well(pid));
  char text[16] = "";
  check(read(copy, text, 6) == 6 && memcmp(text, "d data", 6) == 0);
  check(write(writer, "more", 4) == 4 && read(both, text, 4) == 4 && memcmp(text, "more", 4) == 0);
  check((fcntl(writer, F_GETFL) & (O_ACCMODE | O_NONBLOCK)) == (O_WRONLY | O_NONBLOCK) && fcntl(writer, F_GETFD) == FD_CLOEXEC);
  check(!(fcntl(reader, F_GETFL) & O_NONBLOCK));
  check(read(alone, text, 1) == 0);
  check(read(odd, text, 1) == -1 && errno == EAGAIN && fcntl(odd, F_GETPIPE_SZ) == 4 * PAGE);
  int late = make("two", O_WRONLY);
  check(write(late, "x", 1) == 1 && read(alone, text, 1) == 1 && text[0] == 'x');
  return pass();
}
