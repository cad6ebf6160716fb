// Regular files and directories: positions, flags, close-on-exec, duplicates, sharing with a child by fork and by
// CLONE_FILES, separate opens of one file, high numbers, holes in the table.
// kinds: fd/regular fd/path fd/contents
// cc: -pthread
#include "workload.h"

static int open_file(const char *name, int flags) {
  int fd = open(in_run(name), flags | O_CREAT, 0640);
  must(fd >= 0);
  return fd;
}

static off_t at(int fd) { return lseek(fd, 0, SEEK_CUR); }

static int plain, appended, appended_cloexec, read_only, write_only, duplicate, far, same_file, directory, finished, path_only, sync_fd;
static int raised_alone;

/** How many entries of the directory one call gives that has room for a few only. */
static int some_entries(int fd, size_t room) {
  char buffer[4096];
  long n = syscall(SYS_getdents64, fd, buffer, room);
  int count = 0;
  for (long i = 0; i < n; count++) i += *(unsigned short *)(buffer + i + 16);
  return count;
}

static int entries_left(int fd) {
  int count = 0, more;
  while ((more = some_entries(fd, 4096)) > 0) count += more;
  return count;
}

static volatile int *steps;

static void shares_descriptions(void *unused) {
  (void)unused;
  int own = open_file("childs", O_RDWR);
  must(write(own, "child", 5) == 5);
  must(close(read_only) == 0);
  prepared();
  wait_for_go();
  while (steps[0] == 0) usleep(500);
  // The position belongs to the description, which the parent has moved meanwhile.
  check(at(plain) == 77 && at(same_file) == 5);
  check(lseek(plain, 99, SEEK_SET) == 99);
  check(at(own) == 5 && fcntl(read_only, F_GETFD) == -1);
  steps[1] = 1;
}

static int shares_table(void *unused) {
  (void)unused;
  prepared();
  wait_for_go();
  while (steps[1] == 0) usleep(500);
  // One table: what it opens and closes there the other one sees.
  int fd = dup2(plain, 600);
  close(write_only);
  steps[2] = fd;
  _exit(fd == 600 && at(600) == 99 ? 0 : 1);
}

int main(int argc, char **argv) {
  start(argc, argv);
  steps = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  must(steps != MAP_FAILED);
  plain = open_file("plain", O_RDWR);
  must(write(plain, "0123456789", 10) == 10 && lseek(plain, 7, SEEK_SET) == 7);
  appended = open_file("log", O_WRONLY | O_APPEND);
  must(write(appended, "first\n", 6) == 6);
  appended_cloexec = open_file("log", O_RDWR | O_APPEND | O_CLOEXEC | O_NONBLOCK);
  read_only = open_file("plain", O_RDONLY);
  write_only = open_file("plain", O_WRONLY);
  must(lseek(write_only, 1LL << 40, SEEK_SET) == 1LL << 40);
  duplicate = fcntl(plain, F_DUPFD_CLOEXEC, 0);
  far = dup2(plain, 700);
  same_file = open_file("plain", O_RDWR);
  must(lseek(same_file, 5, SEEK_SET) == 5);
  sync_fd = open_file("plain", O_RDWR | O_SYNC | O_NOATIME);
  path_only = open(in_run("plain"), O_PATH);
  must(path_only >= 0);
  raised_alone = fcntl(same_file, F_DUPFD, 1000);
  must(raised_alone == 1000);

  must(mkdir(in_run("folder"), 0755) == 0);
  for (int i = 0; i < 6; i++) {
    char name[32];
    snprintf(name, sizeof name, "folder/f%d", i);
    close(open_file(name, O_WRONLY));
  }
  directory = open(in_run("folder"), O_RDONLY | O_DIRECTORY);
  finished = open(in_run("folder"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  must(directory >= 0 && finished >= 0 && entries_left(finished) == 8);
  int first_part = some_entries(directory, 100);
  must(first_part > 0 && first_part < 8);

  pid_t child = fork_child(shares_descriptions, NULL);
  static char stack[65536] __attribute__((aligned(16)));
  pid_t twin = clone(shares_table, stack + sizeof stack, CLONE_FILES | SIGCHLD, NULL);
  must(twin > 0);
  await_prepared(2);
  ready();
  wait_for_go();

  check(at(plain) == 7 && at(duplicate) == 7 && at(far) == 7 && at(same_file) == 5 && at(read_only) == 0);
  check(at(write_only) == 1LL << 40);
  char text[8] = "";
  check(read(plain, text, 3) == 3 && memcmp(text, "789", 3) == 0 && at(far) == 10);
  check(read(same_file, text, 2) == 2 && memcmp(text, "56", 2) == 0 && at(raised_alone) == 7);
  check(lseek(raised_alone, 5, SEEK_SET) == 5);
  check(write(appended, "second\n", 7) == 7 && write(appended_cloexec, "third\n", 6) == 6);
  struct stat st;
  check(fstat(appended, &st) == 0 && st.st_size == 19 && (st.st_mode & 0777) == 0640);
  check((fcntl(appended, F_GETFL) & (O_ACCMODE | O_APPEND | O_NONBLOCK)) == (O_WRONLY | O_APPEND));
  check((fcntl(appended_cloexec, F_GETFL) & (O_ACCMODE | O_APPEND | O_NONBLOCK)) == (O_RDWR | O_APPEND | O_NONBLOCK));
  check(fcntl(appended_cloexec, F_GETFD) == FD_CLOEXEC && fcntl(duplicate, F_GETFD) == FD_CLOEXEC);
  check(fcntl(plain, F_GETFD) == 0 && fcntl(far, F_GETFD) == 0);
  check((fcntl(sync_fd, F_GETFL) & (O_SYNC | O_NOATIME)) == (O_SYNC | O_NOATIME));
  check(fcntl(path_only, F_GETFL) & O_PATH);
  check(write(read_only, "x", 1) == -1 && errno == EBADF);
  check(read(write_only, text, 1) == -1 && errno == EBADF);
  check(entries_left(directory) == 8 - first_part && entries_left(finished) == 0);
  check(lseek(directory, 0, SEEK_SET) == 0 && entries_left(directory) == 8);

  check(lseek(plain, 77, SEEK_SET) == 77);
  steps[0] = 1;
  check(ended_well(child) && at(plain) == 99);
  check(ended_well(twin));
  check(steps[2] == 600 && fcntl(600, F_GETFD) == 0 && fcntl(write_only, F_GETFD) == -1);
  return pass();
}
