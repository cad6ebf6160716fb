// Stopped while a handler runs on the alternative stack, below it another handler: both return, into the right masks.
// kinds: task/user-areas task/actions
#include "workload.h"

static volatile int depth_reached, returned;
static char stack_memory[65536];

static void inner(int sig) {
  (void)sig;
  char here;
  check(&here >= stack_memory && &here < stack_memory + sizeof stack_memory);
  depth_reached = 2;
  ready();
  wait_for_go();
  stack_t now;
  check(sigaltstack(NULL, &now) == 0 && (now.ss_flags & SS_ONSTACK) && now.ss_sp == stack_memory);
  sigset_t mask;
  check(sigprocmask(SIG_SETMASK, NULL, &mask) == 0);
  check(sigismember(&mask, SIGUSR1) == 1 && sigismember(&mask, SIGUSR2) == 1 && sigismember(&mask, SIGHUP) == 1);
  returned++;
}

static void outer(int sig) {
  (void)sig;
  depth_reached = 1;
  double x = 1.5;
  raise(SIGUSR2);
  check(x * 2 == 3.0);
  sigset_t mask;
  check(sigprocmask(SIG_SETMASK, NULL, &mask) == 0);
  check(sigismember(&mask, SIGUSR1) == 1 && sigismember(&mask, SIGUSR2) == 0 && sigismember(&mask, SIGHUP) == 1);
  returned++;
}

int main(int argc, char **argv) {
  start(argc, argv);
  stack_t stack = {.ss_sp = stack_memory, .ss_size = sizeof stack_memory}, now;
  must(sigaltstack(&stack, NULL) == 0);
  struct sigaction first = {.sa_handler = outer, .sa_flags = SA_ONSTACK};
  sigaddset(&first.sa_mask, SIGHUP);
  struct sigaction second = {.sa_handler = inner, .sa_flags = SA_ONSTACK};
  must(sigaction(SIGUSR1, &first, NULL) == 0 && sigaction(SIGUSR2, &second, NULL) == 0);
  raise(SIGUSR1);
  check(returned == 2 && depth_reached == 2);
  sigset_t mask;
  check(sigprocmask(SIG_SETMASK, NULL, &mask) == 0 && sigismember(&mask, SIGUSR1) == 0 && sigismember(&mask, SIGHUP) == 0);
  check(sigaltstack(NULL, &now) == 0 && now.ss_flags == 0 && now.ss_size == sizeof stack_memory);
  return pass();
}
