// Signal actions, masks, ignored signals, pending signals with their values and order, of the process and of a thread.
// kinds: task/actions task/pending task/question
// cc: -pthread
#include "workload.h"

// What the C library adds.
#define SA_RESTORER_ 0x04000000

static volatile int seen[65][8], seen_count[65];
static volatile pid_t seen_pid[65];

static void note(int sig, siginfo_t *info, void *context) {
  (void)context;
  int n = seen_count[sig]++;
  if (n < 8) seen[sig][n] = info->si_value.sival_int;
  seen_pid[sig] = info->si_pid;
}

static void plain(int sig) { seen_count[sig]++; }

static void send(int sig, int value) {
  union sigval v = {.sival_int = value};
  must(sigqueue(getpid(), sig, v) == 0);
}

static void send_thread(int sig, int value) {
  union sigval v = {.sival_int = value};
  must(pthread_sigqueue(pthread_self(), sig, v) == 0);
}

int main(int argc, char **argv) {
  start(argc, argv);
  struct sigaction rt = {.sa_sigaction = note, .sa_flags = SA_SIGINFO | SA_RESTART};
  sigaddset(&rt.sa_mask, SIGHUP);
  sigaddset(&rt.sa_mask, SIGRTMAX);
  struct sigaction odd = {.sa_handler = plain, .sa_flags = SA_NODEFER | SA_RESETHAND | SA_ONSTACK | SA_NOCLDSTOP | SA_NOCLDWAIT};
  struct sigaction ignore = {.sa_handler = SIG_IGN, .sa_flags = SA_RESTART};
  must(sigaction(SIGRTMIN, &rt, NULL) == 0);
  must(sigaction(SIGRTMIN + 1, &rt, NULL) == 0);
  must(sigaction(SIGRTMAX, &rt, NULL) == 0);
  must(sigaction(SIGUSR2, &rt, NULL) == 0);
  must(sigaction(SIGTERM, &rt, NULL) == 0);
  must(sigaction(SIGCHLD, &odd, NULL) == 0);
  must(sigaction(SIGWINCH, &ignore, NULL) == 0);
  must(sigaction(SIGPIPE, &ignore, NULL) == 0);

  sigset_t all, before, after;
  sigfillset(&all);
  sigdelset(&all, SIGSEGV);
  must(sigprocmask(SIG_SETMASK, &all, NULL) == 0);
  must(sigprocmask(SIG_SETMASK, NULL, &before) == 0);
  send(SIGRTMIN + 1, 11);
  send(SIGRTMIN, 1);
  send(SIGRTMIN, 2);
  send(SIGRTMIN + 1, 12);
  send(SIGRTMIN, 3);
  send_thread(SIGRTMAX, 64);
  send_thread(SIGRTMAX, 65);
  must(kill(getpid(), SIGUSR2) == 0);
  must(kill(getpid(), SIGUSR2) == 0);
  must(raise(SIGTERM) == 0);
  sigset_t pending, pending_after;
  must(sigpending(&pending) == 0);
  ready();
  wait_for_go();

  struct sigaction got;
  check(sigaction(SIGRTMIN, NULL, &got) == 0 && got.sa_sigaction == note && (got.sa_flags & ~SA_RESTORER_) == rt.sa_flags);
  check(sigismember(&got.sa_mask, SIGHUP) == 1 && sigismember(&got.sa_mask, SIGRTMAX) == 1 && sigismember(&got.sa_mask, SIGINT) == 0);
  check(sigaction(SIGCHLD, NULL, &got) == 0 && got.sa_handler == plain && (got.sa_flags & ~SA_RESTORER_) == odd.sa_flags);
  check(sigaction(SIGWINCH, NULL, &got) == 0 && got.sa_handler == SIG_IGN && (got.sa_flags & ~SA_RESTORER_) == SA_RESTART);
  check(sigaction(SIGPIPE, NULL, &got) == 0 && got.sa_handler == SIG_IGN);
  check(sigaction(SIGXFSZ, NULL, &got) == 0 && got.sa_handler == SIG_DFL);
  check(sigaction(SIGINT, NULL, &got) == 0 && got.sa_handler == SIG_DFL);
  check(sigprocmask(SIG_SETMASK, NULL, &after) == 0 && memcmp(&before, &after, 8) == 0);
  check(sigpending(&pending_after) == 0 && memcmp(&pending, &pending_after, 8) == 0);
  sigemptyset(&all);
  check(sigprocmask(SIG_SETMASK, &all, NULL) == 0);
  check(seen_count[SIGRTMIN] == 3 && seen[SIGRTMIN][0] == 1 && seen[SIGRTMIN][1] == 2 && seen[SIGRTMIN][2] == 3);
  check(seen_count[SIGRTMIN + 1] == 2 && seen[SIGRTMIN + 1][0] == 11 && seen[SIGRTMIN + 1][1] == 12);
  check(seen_count[SIGRTMAX] == 2 && seen[SIGRTMAX][0] == 64 && seen[SIGRTMAX][1] == 65);
  check(seen_count[SIGUSR2] == 1 && seen_pid[SIGUSR2] == getpid());
  check(seen_count[SIGTERM] == 1 && seen_pid[SIGTERM] == getpid());
  check(seen_count[SIGCHLD] == 0);
  return pass();
}
