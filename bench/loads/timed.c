// timed SECONDS MEGABYTES OUTPUT COMMAND [ARG...]: runs COMMAND with its output in the file OUTPUT and prints what it took:
// "exit-status wall-nanoseconds peak-kilobytes". A small program of its own, because the peak of a process counts from
// its fork: that of a large parent would hide it. Kills COMMAND when its time is up, and prints the status 128 + SIGKILL.// MEGABYTES are written to OUTPUT and cut off again before: in a virtual machine, memory that was long free must be
// fetched from the host page by page, and whether COMMAND's files meet such memory would be chance.
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv) {
  if (argc < 5) return 2;
  sigset_t child;
  sigemptyset(&child);
  sigaddset(&child, SIGCHLD);
  sigprocmask(SIG_BLOCK, &child, NULL);
  int out = open(argv[3], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (out < 0 || null < 0) return 2;
  closefrom((out > null ? out : null) + 1);

  static char block[1 << 20];
  memset(block, 1, sizeof block);
  long megabytes = atol(argv[2]);
  for (long i = 0; i < megabytes; i++)
    if (pwrite(out, block, sizeof block, i << 20) != sizeof block) return 2;
  if (ftruncate(out, 0) != 0) return 2;

  struct timespec start, end, limit = {atoi(argv[1]), 0};
  clock_gettime(CLOCK_MONOTONIC, &start);
  pid_t pid = fork();
  if (pid == 0) {
    sigprocmask(SIG_UNBLOCK, &child, NULL);
    dup2(null, 0);
    dup2(out, 1);
    dup2(out, 2);
    execv(argv[4], argv + 4);
    _exit(127);
  }
  struct rusage usage;
  int status;
  while (wait4(pid, &status, WNOHANG, &usage) == 0)
    if (sigtimedwait(&child, NULL, &limit) < 0) kill(pid, SIGKILL);
  clock_gettime(CLOCK_MONOTONIC, &end);
  long long wall = (end.tv_sec - start.tv_sec) * 1000000000LL + end.tv_nsec - start.tv_nsec;
  printf("%d %lld %ld\n", WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), wall, usage.ru_maxrss);
  return 0;
}
