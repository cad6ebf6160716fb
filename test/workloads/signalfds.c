// Signalfds: with signals waiting, without, changed later, shared with a child that waits for a signal of its own.
// kinds: fd/signalfd
#include "workload.h"
#include <sys/signalfd.h>

static int shared;

static int take(int fd) {
  struct signalfd_siginfo info = {0};
  return read(fd, &info, sizeof info) == sizeof info ? (int)info.ssi_signo : -errno;
}

static void child(void *unused) {
  (void)unused;
  prepared();
  check(take(shared) == SIGTERM);
}

int main(int argc, char **argv) {
  start(argc, argv);
  sigset_t user, last, term, all;
  sigemptyset(&user), sigaddset(&user, SIGUSR1), sigaddset(&user, SIGUSR2);
  sigemptyset(&last), sigaddset(&last, SIGRTMAX);
  sigemptyset(&term), sigaddset(&term, SIGTERM);
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, NULL);
  int both = signalfd(-1, &user, SFD_CLOEXEC), top = signalfd(-1, &user, SFD_NONBLOCK);
  must(both >= 0 && signalfd(top, &last, 0) == top);
  shared = signalfd(-1, &term, 0);
  pid_t pid = fork_child(child, NULL);
  await_prepared(1);
  usleep(20000);
  kill(getpid(), SIGUSR2);
  kill(getpid(), SIGUSR1);
  ready();
  wait_for_go();
  check(take(both) == SIGUSR1 && take(both) == SIGUSR2 && fcntl(both, F_GETFD) == FD_CLOEXEC);
  check(take(top) == -EAGAIN);
  sigqueue(getpid(), SIGRTMAX, (union sigval){.sival_int = 1});
  check(take(top) == SIGRTMAX && take(top) == -EAGAIN);
  kill(pid, SIGTERM);
  check(ended_well(pid));
  return pass();
}
