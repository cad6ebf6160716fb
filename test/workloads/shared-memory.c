// Anonymous shared memory between forked processes: one object though mapped at several places, in pieces, with other
// protections, by only some of them; a file that several processes have mapped shared.
// kinds: mem/shared mem/mappings
#include "workload.h"

struct board {
  volatile int turn;
  volatile int values[8];
};
static struct board *board;
static unsigned char *whole, *in_file;

static void *map_file(void) {
  int fd = open(in_run("together"), O_RDWR | O_CREAT, 0600);
  must(fd >= 0 && ftruncate(fd, 3 * PAGE) == 0);
  void *at = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  must(at != MAP_FAILED);
  close(fd);
  return at;
}

static void await_turn(int turn) {
  for (int i = 0; i < 20000 && board->turn != turn; i++) usleep(500);
  check(board->turn == turn);
}

static void keeps_tail(void *unused) {
  (void)unused;
  // Only the last of its pages, and that at another address too.
  must(munmap(whole, 60 * PAGE) == 0);
  unsigned char *moved = mremap(whole + 62 * PAGE, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, whole);
  must(moved == whole);
  prepared();
  wait_for_go();
  await_turn(1);
  check(moved[PAGE] == 0x11 && has_pattern(whole + 60 * PAGE, 100, 60));
  moved[PAGE + 1] = 0x22;
  check(in_file[0] == 0x33);
  in_file[PAGE] = 0x44;
  board->values[0] = getpid();
  board->turn = 2;
}

static void only_reads(void *unused) {
  (void)unused;
  must(mprotect(whole, 64 * PAGE, PROT_READ) == 0);
  prepared();
  wait_for_go();
  await_turn(2);
  check(whole[63 * PAGE] == 0x11 && whole[63 * PAGE + 1] == 0x22 && has_pattern(whole, 100, 0));
  board->turn = 3;
}

static void family_of_two(void *unused) {
  (void)unused;
  // Memory that the root never had.
  volatile unsigned char *own = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  must(own != MAP_FAILED);
  own[PAGE] = 1;
  pid_t pid = fork();
  must(pid >= 0);
  if (pid == 0) {
    own[5] = 6;
    prepared();
    wait_for_go();
    for (int i = 0; i < 20000 && own[6] == 0; i++) usleep(500);
    check(own[6] == 7 && own[PAGE] == 1);
    own[7] = 8;
    child_end();
  }
  must(munmap(whole, 64 * PAGE) == 0);
  prepared();
  wait_for_go();
  check(own[5] == 6);
  own[6] = 7;
  check(ended_well(pid) && own[7] == 8);
}

int main(int argc, char **argv) {
  start(argc, argv);
  int flags = MAP_SHARED | MAP_ANONYMOUS;
  board = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, flags, -1, 0);
  whole = mmap(NULL, 64 * PAGE, PROT_READ | PROT_WRITE, flags, -1, 0);
  must(board != MAP_FAILED && whole != MAP_FAILED);
  for (unsigned i = 0; i < 64; i += 4) fill_pattern(whole + i * PAGE, PAGE, i);
  in_file = map_file();
  pid_t pids[] = {fork_child(keeps_tail, NULL), fork_child(only_reads, NULL), fork_child(family_of_two, NULL)};
  await_prepared(4);
  must(mprotect(whole + 8 * PAGE, 4 * PAGE, PROT_NONE) == 0);
  ready();
  wait_for_go();
  for (unsigned i = 0; i < 64; i++)
    if (i < 8 || i >= 12) check(i % 4 ? whole[i * PAGE] == 0 : has_pattern(whole + i * PAGE, PAGE, i));
  whole[63 * PAGE] = 0x11;
  in_file[0] = 0x33;
  board->turn = 1;
  await_turn(3);
  check(whole[63 * PAGE + 1] == 0x22 && in_file[PAGE] == 0x44 && board->values[0] == pids[0]);
  check(mprotect(whole + 8 * PAGE, 4 * PAGE, PROT_READ) == 0 && has_pattern(whole + 8 * PAGE, PAGE, 8));
  for (size_t i = 0; i < COUNT(pids); i++) check(ended_well(pids[i]));
  return pass();
}
