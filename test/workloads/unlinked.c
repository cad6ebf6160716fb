// Files that were deleted while open or mapped: with data and holes, in a folder that is gone too, held by several
// processes as one.
// kinds: fd/ghost fd/regular fd/path
#include "workload.h"

static int open_file(const char *name, int flags) {
  int fd = open(in_run(name), flags | O_CREAT, 0640);
  must(fd >= 0);
  return fd;
}

static int data, second;

static void child(void *unused) {
  (void)unused;
  prepared();
  wait_for_go();
  check(pwrite(data, "child", 5, 100) == 5);
}

int main(int argc, char **argv) {
  start(argc, argv);
  char page[PAGE];
  fill_pattern(page, PAGE, 1);
  data = open_file("data", O_RDWR);
  must(write(data, page, PAGE) == PAGE && fchmod(data, 0604) == 0);
  second = open_file("data", O_RDONLY);
  must(unlink(in_run("data")) == 0);
  int holes = open_file("holes", O_RDWR);
  must(pwrite(holes, page, PAGE, 1 << 20) == PAGE && ftruncate(holes, 4 << 20) == 0 && unlink(in_run("holes")) == 0);
  must(mkdir(in_run("gone"), 0755) == 0);
  int inside = open_file("gone/inside", O_RDWR | O_APPEND);
  must(write(inside, "deep", 4) == 4 && unlink(in_run("gone/inside")) == 0 && rmdir(in_run("gone")) == 0);
  int mapped = open_file("mapped", O_RDWR);
  must(write(mapped, page, PAGE) == PAGE);
  char *shared = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, mapped, 0);
  char *private = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, mapped, 0);
  must(shared != MAP_FAILED && private != MAP_FAILED);
  private[1] = 'p';
  must(unlink(in_run("mapped")) == 0 && close(mapped) == 0);
  pid_t pid = fork_child(child, NULL);
  await_prepared(1);
  ready();
  wait_for_go();

  check(ended_well(pid));
  struct stat st;
  check(fstat(data, &st) == 0 && st.st_nlink == 0 && st.st_size == PAGE && (st.st_mode & 07777) == 0604);
  check(lseek(data, 0, SEEK_CUR) == PAGE && lseek(second, 0, SEEK_CUR) == 0);
  char text[PAGE] = "";
  check(read(second, text, PAGE) == PAGE && memcmp(text + 100, "child", 5) == 0 && memcmp(text, page, 100) == 0);
  check(fstat(holes, &st) == 0 && st.st_size == 4 << 20 && st.st_blocks < 100);
  check(pread(holes, text, PAGE, 1 << 20) == PAGE && memcmp(text, page, PAGE) == 0);
  check(pread(holes, text, 1, 0) == 1 && text[0] == 0);
  check(write(inside, "er", 2) == 2 && pread(inside, text, 10, 0) == 6 && memcmp(text, "deeper", 6) == 0);
  shared[0] = 's';
  check(private[0] == 's' || private[0] == page[0]);
  check(private[1] == 'p' && memcmp(private + 2, page + 2, PAGE - 2) == 0);
  check(access(in_run("data"), F_OK) == -1 && access(in_run("gone"), F_OK) == -1 && access(in_run("mapped"), F_OK) == -1);
  return pass();
}
