// What every workload shares. A workload sets some state up, says ready(), waits in wait_for_go(), looks at its state
// again with check(), and ends with `return pass()`. The test harness starts it with one argument: the folder of
// this run, which holds `go` (a FIFO), `ready`, `prepared` and `result` (empty files that every user may write).
//
// The head comment of a workload may hold these lines, which test/conformance/workload-list.ts reads:
//   kinds: fd/pipe …      the kinds it exercises (test/tidy.test.ts asks for every kind)
//   cc: -static …         more compiler flags
//   moves: registers …    what may differ between two looks at it though nothing is wrong
#pragma once
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096
#define COUNT(array) (sizeof(array) / sizeof *(array))

static const char *run_folder = ".";
static volatile int failures;

/** The path of a file of this run; four calls may be alive at once. */
static inline const char *in_run(const char *name) {
  static __thread char paths[4][PATH_MAX];
  static __thread unsigned turn;
  char *path = paths[turn++ % 4];
  snprintf(path, PATH_MAX, "%s/%s", run_folder, name);
  return path;
}

/** Appends a line to a file of the harness: opened and closed each time, so that no descriptor stays. */
static inline void append(const char *name, const char *line) {
  int fd = open(in_run(name), O_WRONLY | O_APPEND | O_CLOEXEC);
  if (fd < 0 || write(fd, line, strlen(line)) < 0) _exit(99);
  close(fd);
}

static inline void fail_at(const char *file, int line, const char *what, int error) {
  char text[512];
  snprintf(text, sizeof text, "FAIL %s:%d: %s (pid %d, errno %d %s)\n", file, line, what, getpid(), error, strerror(error));
  failures++;
  append("result", text);
}

/** Reports a condition that does not hold, and goes on. Its value. */
#define check(condition) \
  ({ \
    errno = 0; \
    bool held_ = (condition); \
    if (!held_) fail_at(__FILE__, __LINE__, #condition, errno); \
    held_; \
  })

/** For the set-up: without this nothing that follows makes sense. */
#define must(condition) \
  do { \
    if (!check(condition)) _exit(2); \
  } while (0)

static inline void start(int argc, char **argv) {
  if (argc > 1) run_folder = argv[1];
  // The runtime that runs the tests ignores some signals, and what is ignored is inherited.
  for (int sig = 1; sig < 32; sig++)
    if (sig != SIGKILL && sig != SIGSTOP) signal(sig, SIG_DFL);
}

/** Everything is set up: the harness may dump. */
static inline void ready(void) {
  char line[32];
  snprintf(line, sizeof line, "%d\n", getpid());
  append("ready", line);
}

/**
 * Waits until the harness opens the FIFO for writing. The wait is an open(), so it keeps no descriptor, changes no
 * signal state, costs no time, and the kernel restarts it from unchanged registers after a stop.
 */
static inline void wait_for_go(void) {
  int fd;
  while ((fd = open(in_run("go"), O_RDONLY | O_CLOEXEC)) < 0 && errno == EINTR) continue;
  must(fd >= 0);
  close(fd);
}

/** In a child or thread: my part is set up. */
static inline void prepared(void) { append("prepared", "x"); }

/** Waits until `count` calls of prepared() were made. */
static inline void await_prepared(int count) {
  struct stat st;
  for (int i = 0; i < 20000; i++) {
    if (stat(in_run("prepared"), &st) == 0 && st.st_size >= count) {
      usleep(5000);  // They still have to reach their wait.
      return;
    }
    usleep(1000);
  }
  must(!"children and threads got ready");
}

/** The end of the root: the exit status. */
static inline int pass(void) {
  if (failures == 0) append("result", "PASS\n");
  return failures != 0;
}

/** The end of a child: what went wrong there is in the result file and in its exit status. */
static inline void child_end(void) { _exit(failures != 0); }

static inline pid_t fork_child(void (*run)(void *), void *argument) {
  pid_t pid = fork();
  must(pid >= 0);
  if (pid == 0) {
    failures = 0;
    run(argument);
    child_end();
  }
  return pid;
}

/** Waits for a child that ends with child_end(). */
static inline bool ended_well(pid_t pid) {
  int status;
  pid_t got;
  while ((got = waitpid(pid, &status, 0)) < 0 && errno == EINTR) continue;
  return got == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/** A reproducible byte for position `i` of a stream of its own per `seed`. */
static inline unsigned char pattern_byte(unsigned seed, size_t i) {
  uint64_t x = (i + 1) * 0x9e3779b97f4a7c15ULL + seed * 0xbf58476d1ce4e5b9ULL;
  return (unsigned char)((x ^ (x >> 31)) >> 7);
}

static inline void fill_pattern(void *at, size_t size, unsigned seed) {
  for (size_t i = 0; i < size; i++) ((unsigned char *)at)[i] = pattern_byte(seed, i);
}

static inline bool has_pattern(const void *at, size_t size, unsigned seed) {
  for (size_t i = 0; i < size; i++)
    if (((const unsigned char *)at)[i] != pattern_byte(seed, i)) return false;
  return true;
}

static inline int64_t now_ms(void) {
  struct timespec ts;
  clock_gettime(CLOCK_MONOTONIC, &ts);
  return ts.tv_sec * 1000LL + ts.tv_nsec / 1000000;
}
