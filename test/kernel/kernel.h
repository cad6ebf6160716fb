// What the proofs of kernel behaviour share. A proof is a small program: it ends with 0 when the belief holds, with 1
// when it does not, and with 77 when this machine cannot tell (it says why). Its test is the .test.ts file beside it.
#pragma once
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096

/** The belief itself, or something that it takes. Without it the proof has failed. */
#define holds(condition) \
  do { \
    errno = 0; \
    if (!(condition)) { \
      printf("%s:%d: %s does not hold (errno %d %s)\n", __FILE__, __LINE__, #condition, errno, strerror(errno)); \
      fflush(stdout); \
      exit(1); \
    } \
  } while (0)

#define skip(...) \
  do { \
    printf(__VA_ARGS__); \
    printf("\n"); \
    fflush(stdout); \
    exit(77); \
  } while (0)

static inline int64_t now_ms(void) {
  struct timespec ts;
  clock_gettime(CLOCK_MONOTONIC, &ts);
  return ts.tv_sec * 1000LL + ts.tv_nsec / 1000000;
}

/** A child that dies with us. */
static inline pid_t child_of(void (*run)(void)) {
  pid_t pid = fork();
  holds(pid >= 0);
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    run();
    _exit(0);
  }
  return pid;
}

static inline void seize(pid_t pid, long options) { holds(ptrace(PTRACE_SEIZE, pid, 0, options) == 0); }

/** Waits for a stop; the whole status. */
static inline int stopped(pid_t pid) {
  int status = 0;
  holds(waitpid(pid, &status, __WALL) == pid && WIFSTOPPED(status));
  return status;
}

static inline int interrupt(pid_t pid) {
  holds(ptrace(PTRACE_INTERRUPT, pid, 0, 0) == 0);
  return stopped(pid);
}

static inline struct user_regs_struct registers(pid_t pid) {
  struct user_regs_struct regs;
  struct iovec io = {&regs, sizeof regs};
  holds(ptrace(PTRACE_GETREGSET, pid, NT_PRSTATUS, &io) == 0);
  return regs;
}

static inline void set_registers(pid_t pid, struct user_regs_struct regs) {
  struct iovec io = {&regs, sizeof regs};
  holds(ptrace(PTRACE_SETREGSET, pid, NT_PRSTATUS, &io) == 0);
}

/** A syscall instruction, the same in every child; int3 behind it. */
__attribute__((used, naked)) static void syscall_instruction(void) { __asm__("syscall\n int3\n"); }

/** Makes a call in a stopped child and puts its registers back; the result. */
static inline long remote(pid_t pid, long nr, long a, long b, long c, long d, long e, long f) {
  struct user_regs_struct before = registers(pid), regs = before;
  regs.rip = (unsigned long)syscall_instruction;
  regs.rax = (unsigned long)nr;
  // Or the kernel would take the old call for one to restart.
  regs.orig_rax = (unsigned long)-1;
  regs.rdi = (unsigned long)a, regs.rsi = (unsigned long)b, regs.rdx = (unsigned long)c;
  regs.r10 = (unsigned long)d, regs.r8 = (unsigned long)e, regs.r9 = (unsigned long)f;
  set_registers(pid, regs);
  holds(ptrace(PTRACE_CONT, pid, 0, 0) == 0);
  int status = stopped(pid);
  holds(WSTOPSIG(status) == SIGTRAP);
  long result = (long)registers(pid).rax;
  set_registers(pid, before);
  return result;
}

/** How the child ended: its exit status, or 1000 and the signal. */
static inline int ended(pid_t pid) {
  int status = 0;
  holds(waitpid(pid, &status, __WALL) == pid);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

/** Waits until the child sleeps in a call. */
static inline void until_asleep(pid_t pid) {
  char path[64], line[512];
  snprintf(path, sizeof path, "/proc/%d/stat", pid);
  for (int i = 0; i < 5000; i++) {
    int fd = open(path, O_RDONLY);
    ssize_t n = read(fd, line, sizeof line - 1);
    close(fd);
    if (n <= 0) break;
    line[n] = 0;
    if (strrchr(line, ')')[2] == 'S') return;
    usleep(1000);
  }
  holds(!"the child sleeps");
}

static inline void *shared_page(void) {
  void *at = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  holds(at != MAP_FAILED);
  return at;
}
