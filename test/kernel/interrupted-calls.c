// What a task stopped inside a call shows: orig_rax is the call, rax is -512 (read, open of a FIFO, futex and wait4 without a
// time), -514 (pause, sigsuspend, nanosleep absolute, ppoll, select) or -516 (nanosleep, poll and futex with a time).
#include "kernel.h"

static int fds[2];
static int word;

static void in_read(void) { char byte; holds(read(fds[0], &byte, 1) == 1); }
static void in_pause(void) { pause(); }
static void in_nanosleep(void) { struct timespec t = {100, 0}; syscall(SYS_nanosleep, &t, NULL); }
static void in_nanosleep_absolute(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  t.tv_sec += 100;
  syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
}
static void in_poll(void) { struct pollfd p = {fds[0], POLLIN, 0}; syscall(SYS_poll, &p, 1, 100000); }
static void in_ppoll(void) { struct pollfd p = {fds[0], POLLIN, 0}; struct timespec t = {100, 0}; syscall(SYS_ppoll, &p, 1, &t, NULL, 8); }
static void in_select(void) { struct timeval t = {100, 0}; syscall(SYS_select, 0, NULL, NULL, NULL, &t); }
static void in_futex(void) { syscall(SYS_futex, &word, FUTEX_WAIT, 0, NULL, NULL, 0); }
static void in_futex_timed(void) { struct timespec t = {100, 0}; syscall(SYS_futex, &word, FUTEX_WAIT, 0, &t, NULL, 0); }
static void in_suspend(void) { uint64_t mask = 0; syscall(SYS_rt_sigsuspend, &mask, 8); }
static void in_wait(void) {
  if (fork() == 0) { prctl(PR_SET_PDEATHSIG, SIGKILL); for (;;) pause(); }
  syscall(SYS_wait4, -1, NULL, 0, NULL);
}

static const struct {
  void (*run)(void);
  long nr, result;
  const char *name;
} calls[] = {
  {in_read, SYS_read, -512, "read"}, {in_futex, SYS_futex, -512, "futex"}, {in_wait, SYS_wait4, -512, "wait4"},
  {in_pause, SYS_pause, -514, "pause"}, {in_suspend, SYS_rt_sigsuspend, -514, "rt_sigsuspend"},
  {in_nanosleep_absolute, SYS_clock_nanosleep, -514, "clock_nanosleep absolute"},
  {in_ppoll, SYS_ppoll, -514, "ppoll"}, {in_select, SYS_select, -514, "select"},
  {in_nanosleep, SYS_nanosleep, -516, "nanosleep"}, {in_poll, SYS_poll, -516, "poll"},
  {in_futex_timed, SYS_futex, -516, "futex timed"},
};

int main(void) {
  holds(pipe(fds) == 0);
  for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
    pid_t pid = child_of(calls[i].run);
    until_asleep(pid);
    usleep(2000);
    seize(pid, 0);
    interrupt(pid);
    struct user_regs_struct regs = registers(pid);
    if ((long)regs.orig_rax != calls[i].nr || (long)regs.rax != calls[i].result)
      printf("%s: orig_rax %ld, rax %ld\n", calls[i].name, (long)regs.orig_rax, (long)regs.rax);
    holds((long)regs.orig_rax == calls[i].nr && (long)regs.rax == calls[i].result);
    // Two bytes back stands the syscall instruction, for a restart by hand.
    holds((ptrace(PTRACE_PEEKTEXT, pid, regs.rip - 2, 0) & 0xffff) == 0x050f);
    kill(pid, SIGKILL);
    holds(ended(pid) == 1000 + SIGKILL);
  }
  return 0;
}
