// Stopped inside rt_sigsuspend and pause: the mask in force there is not the mask that the task has afterwards.
// kinds: task/actions
#include "workload.h"

static volatile int usr1, usr2;
static void on_usr1(int sig) { (void)sig; usr1++; }
static void on_usr2(int sig) { (void)sig; usr2++; }

static void suspended(void *argument) {
  (void)argument;
  struct sigaction a = {.sa_handler = on_usr1}, b = {.sa_handler = on_usr2};
  must(sigaction(SIGUSR1, &a, NULL) == 0 && sigaction(SIGUSR2, &b, NULL) == 0);
  sigset_t blocked, inside, seen;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGUSR1);
  sigaddset(&blocked, SIGUSR2);
  sigaddset(&blocked, SIGHUP);
  must(sigprocmask(SIG_SETMASK, &blocked, NULL) == 0);
  sigfillset(&inside);
  sigdelset(&inside, SIGUSR1);
  prepared();
  check(sigsuspend(&inside) == -1 && errno == EINTR);
  check(usr1 == 1 && usr2 == 0);
  check(sigprocmask(SIG_SETMASK, NULL, &seen) == 0 && memcmp(&seen, &blocked, 8) == 0);
}

static void paused(void *argument) {
  (void)argument;
  struct sigaction a = {.sa_handler = on_usr1};
  must(sigaction(SIGUSR1, &a, NULL) == 0);
  prepared();
  check(pause() == -1 && errno == EINTR);
  check(usr1 == 1);
}

int main(int argc, char **argv) {
  start(argc, argv);
  pid_t first = fork_child(suspended, NULL), second = fork_child(paused, NULL);
  await_prepared(2);
  usleep(20000);
  ready();
  wait_for_go();
  check(kill(first, SIGUSR2) == 0);
  usleep(20000);
  check(kill(first, SIGUSR1) == 0 && kill(second, SIGUSR1) == 0);
  check(ended_well(first) && ended_well(second));
  return pass();
}
