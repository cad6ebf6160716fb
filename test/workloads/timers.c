// Timers: the three of setitimer, and POSIX timers of several clocks: armed, with intervals, disarmed, with ids that have
// gaps, signalling the process, a thread, or nobody. What was left of their time is left after the restore.
// kinds: task/timers task/question
// cc: -pthread
// moves: registers tree
#include "workload.h"

static volatile int alarms, rounds, told;

static void on_alarm(int sig) { (void)sig; alarms++; }
static void on_round(int sig) { (void)sig; rounds++; }
static void on_told(int sig, siginfo_t *info, void *context) {
  (void)sig, (void)context;
  if (info->si_code == SI_TIMER && info->si_value.sival_int == 4711) told++;
}

static timer_t make(clockid_t clock, int notify, int sig, int value) {
  struct sigevent event = {.sigev_notify = notify, .sigev_signo = sig, .sigev_value.sival_int = value};
  if (notify == SIGEV_THREAD_ID) event._sigev_un._tid = gettid();
  timer_t timer;
  must(timer_create(clock, &event, &timer) == 0);
  return timer;
}

static struct itimerspec in_ms(int64_t first, int64_t interval) {
  return (struct itimerspec){
    .it_value = {first / 1000, first % 1000 * 1000000}, .it_interval = {interval / 1000, interval % 1000 * 1000000},
  };
}

static int64_t left_ms(timer_t timer) {
  struct itimerspec now;
  if (!check(timer_gettime(timer, &now) == 0)) return -1;
  return now.it_value.tv_sec * 1000 + now.it_value.tv_nsec / 1000000;
}

int main(int argc, char **argv) {
  start(argc, argv);
  struct sigaction alarm_action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART}, round_action = {.sa_handler = on_round, .sa_flags = SA_RESTART};
  struct sigaction told_action = {.sa_sigaction = on_told, .sa_flags = SA_SIGINFO | SA_RESTART};
  must(sigaction(SIGALRM, &alarm_action, NULL) == 0 && sigaction(SIGUSR1, &round_action, NULL) == 0 && sigaction(SIGRTMIN, &told_action, NULL) == 0);
  struct itimerval real = {{0, 0}, {100, 0}}, virtual = {{7, 5}, {1000, 0}}, prof = {{0, 0}, {2000, 0}}, now;
  must(setitimer(ITIMER_REAL, &real, NULL) == 0 && setitimer(ITIMER_VIRTUAL, &virtual, NULL) == 0 && setitimer(ITIMER_PROF, &prof, NULL) == 0);

  timer_t gone = make(CLOCK_MONOTONIC, SIGEV_NONE, 0, 0);
  timer_t rare = make(CLOCK_MONOTONIC, SIGEV_SIGNAL, SIGUSR2, 1);
  timer_t often = make(CLOCK_BOOTTIME, SIGEV_SIGNAL, SIGUSR1, 2);
  timer_t gap = make(CLOCK_REALTIME, SIGEV_NONE, 0, 0);
  timer_t silent = make(CLOCK_REALTIME, SIGEV_NONE, 0, 3);
  timer_t disarmed = make(CLOCK_MONOTONIC, SIGEV_SIGNAL, SIGUSR2, 4);
  timer_t late = make(CLOCK_MONOTONIC, SIGEV_THREAD_ID, SIGRTMIN, 4711);
  must(timer_delete(gone) == 0 && timer_delete(gap) == 0);
  struct itimerspec spec = in_ms(3600000, 60000);
  must(timer_settime(rare, 0, &spec, NULL) == 0);
  spec = in_ms(5, 5);
  must(timer_settime(often, 0, &spec, NULL) == 0);
  spec = in_ms(7200000, 0);
  must(timer_settime(silent, 0, &spec, NULL) == 0);
  spec = in_ms(1000, 0);
  must(timer_settime(late, 0, &spec, NULL) == 0);
  int64_t from = now_ms();
  ready();
  wait_for_go();

  int64_t passed = now_ms() - from;
  check(getitimer(ITIMER_REAL, &now) == 0 && now.it_value.tv_sec <= 100 && now.it_value.tv_sec * 1000 >= 100000 - passed - 1000);
  check(getitimer(ITIMER_VIRTUAL, &now) == 0 && now.it_interval.tv_sec == 7 && now.it_interval.tv_usec / 10000 == 0);
  check(now.it_value.tv_sec > 990 && now.it_value.tv_sec <= 1000);
  check(getitimer(ITIMER_PROF, &now) == 0 && now.it_interval.tv_sec == 0 && now.it_value.tv_sec > 1990 && now.it_value.tv_sec <= 2000);
  struct itimerspec seen;
  check(timer_gettime(rare, &seen) == 0 && seen.it_interval.tv_sec == 60);
  check(left_ms(rare) <= 3600000 && left_ms(rare) >= 3600000 - passed - 1000);
  check(left_ms(silent) <= 7200000 && left_ms(silent) >= 7200000 - passed - 1000);
  check(left_ms(disarmed) == 0);
  check(timer_gettime(often, &seen) == 0 && seen.it_interval.tv_nsec == 5000000);
  int at = rounds;
  while (now_ms() - from < 30000 && rounds < at + 10) usleep(1000);
  check(rounds >= at + 10);
  while (now_ms() - from < 30000 && told == 0) usleep(1000);
  check(told == 1 && alarms == 0);
  // A deleted id is free, the others are not.
  check(timer_gettime(gone, &seen) == -1 && timer_gettime(gap, &seen) == -1);
  check(timer_delete(rare) == 0 && timer_delete(often) == 0 && timer_delete(silent) == 0 && timer_delete(disarmed) == 0);
  return pass();
}
