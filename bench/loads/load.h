// What every load has in common: a board shared with the benchmark through a file, and a beat that notices stops.
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define BEATS 2
#define PAGE 4096

// The layout that bench/load.ts reads: 32-bit words, then one block of 64-bit words for each beat.
struct board {
  uint32_t round;   // the benchmark adds one: the beats forget their gaps
  uint32_t check;   // the benchmark sets 1: the load answers 2 when its state is right, 3 when it is not
  struct {
    uint64_t count; // how often the beat read its clock
    uint64_t gap;   // the longest time between two readings, in ns, in `round`
    uint64_t round; // the round that `gap` belongs to
  } beats[BEATS];
};

static struct board *board;

static void fail(const char *what) {
  perror(what);
  _exit(1);
}

static uint64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

// Leaves the benchmark's session and descriptors behind: a session leader with 0, 1 and 2 on /dev/null.
// The first process prints the pid and ends when the load is ready; the caller goes on in the second.
static int readiness;

static void detach(const char *board_path) {
  int ready[2];
  if (pipe(ready) != 0) fail("pipe");
  pid_t pid = fork();
  if (pid < 0) fail("fork");
  if (pid > 0) {
    char byte;
    close(ready[1]);
    if (read(ready[0], &byte, 1) != 1) _exit(1);
    printf("%d\n", (int)pid);
    fflush(stdout);
    _exit(0);
  }
  setsid();
  int fd = open(board_path, O_RDWR | O_CREAT, 0600);
  if (fd < 0 || ftruncate(fd, PAGE) != 0) fail(board_path);
  board = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (board == MAP_FAILED) fail("mmap");
  int null = open("/dev/null", O_RDWR);
  for (int i = 0; i < 3; i++) dup2(null, i);
  dup2(ready[1], 3);
  closefrom(4);
  readiness = 3;
}

static void ready(void) {
  if (write(readiness, "", 1) != 1) _exit(1);
  close(readiness);
}

// Sleeps and reads the clock for ever. `check` says whether the load's state is as it was made; only the first beat is asked.
static void beat(int slot, int (*check)(void)) {
  uint64_t before = now_ns();
  for (;;) {
    struct timespec nap = {0, 100000};
    nanosleep(&nap, NULL);
    uint64_t now = now_ns();
    uint64_t round = *(volatile uint32_t *)&board->round;
    if (board->beats[slot].round != round) {
      board->beats[slot].gap = 0;
      __atomic_store_n(&board->beats[slot].round, round, __ATOMIC_RELEASE);
    }
    if (now - before > board->beats[slot].gap) board->beats[slot].gap = now - before;
    board->beats[slot].count++;
    before = now;
    if (slot == 0 && __atomic_load_n(&board->check, __ATOMIC_ACQUIRE) == 1) {
      __atomic_store_n(&board->check, check == NULL || check() ? 2 : 3, __ATOMIC_RELEASE);
      before = now_ns();
    }
  }
}
