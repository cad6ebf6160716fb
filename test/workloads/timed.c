// Calls that wait, most of them for a time, each in a thread of its own: they go on after the stop and after the restore,
// and end as if nothing had happened. None of them may come back with EINTR.
// kinds: task/x86-registers
// cc: -pthread
// moves: registers tree
#include "workload.h"
#include <linux/futex.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/select.h>

#define WAIT_MS 1500
static const struct timespec wait_time = {WAIT_MS / 1000, WAIT_MS % 1000 * 1000000L};
static int pipe_fds[2], late_fds[2], full_fds[2], silent_fds[2], patient_fds[2], epoll_fd;
static int never, woken;

static struct timespec deadline(clockid_t clock) {
  struct timespec at;
  clock_gettime(clock, &at);
  at.tv_sec += wait_time.tv_sec;
  at.tv_nsec += wait_time.tv_nsec;
  if (at.tv_nsec >= 1000000000L) at.tv_sec++, at.tv_nsec -= 1000000000L;
  return at;
}

// Each returns 0 when its call ended as it should.
static int by_nanosleep(void) {
  struct timespec left = {0};
  return nanosleep(&wait_time, &left) == 0 ? 0 : errno;
}

static int by_clock_nanosleep(void) { return clock_nanosleep(CLOCK_BOOTTIME, 0, &wait_time, NULL); }

static int by_absolute(void) {
  struct timespec at = deadline(CLOCK_REALTIME);
  return clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &at, NULL);
}

static int by_poll(void) {
  struct pollfd fds = {.fd = pipe_fds[0], .events = POLLIN};
  return poll(&fds, 1, WAIT_MS) == 0 ? 0 : errno ? errno : -1;
}

static int by_poll_none(void) { return poll(NULL, 0, WAIT_MS) == 0 ? 0 : errno; }

static int by_ppoll(void) {
  struct pollfd fds = {.fd = pipe_fds[0], .events = POLLIN};
  struct timespec time = wait_time;
  return ppoll(&fds, 1, &time, NULL) == 0 ? 0 : errno;
}

static int by_select(void) {
  fd_set set;
  FD_ZERO(&set);
  FD_SET(pipe_fds[0], &set);
  struct timeval time = {wait_time.tv_sec, wait_time.tv_nsec / 1000};
  return select(pipe_fds[0] + 1, &set, NULL, NULL, &time) == 0 ? 0 : errno;
}

static int by_pselect(void) {
  fd_set set;
  FD_ZERO(&set);
  FD_SET(pipe_fds[0], &set);
  sigset_t mask;
  sigemptyset(&mask);
  sigaddset(&mask, SIGUSR2);
  return pselect(pipe_fds[0] + 1, &set, NULL, NULL, &wait_time, &mask) == 0 ? 0 : errno;
}

static int by_futex(void) {
  return syscall(SYS_futex, &never, FUTEX_WAIT, 0, &wait_time, NULL, 0) == -1 && errno == ETIMEDOUT ? 0 : errno ? errno : -1;
}

static int by_futex_absolute(void) {
  struct timespec at = deadline(CLOCK_MONOTONIC);
  long result = syscall(SYS_futex, &never, FUTEX_WAIT_BITSET_PRIVATE, 0, &at, NULL, FUTEX_BITSET_MATCH_ANY);
  return result == -1 && errno == ETIMEDOUT ? 0 : errno ? errno : -1;
}

static int by_condition(void) {
  static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
  struct timespec at = deadline(CLOCK_REALTIME);
  pthread_mutex_lock(&mutex);
  int result = pthread_cond_timedwait(&condition, &mutex, &at);
  pthread_mutex_unlock(&mutex);
  return result == ETIMEDOUT ? 0 : result ? result : -1;
}

static int by_epoll(void) {
  struct epoll_event event;
  return epoll_wait(epoll_fd, &event, 1, WAIT_MS) == 0 ? 0 : errno ? errno : -1;
}

static int by_sigtimedwait(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR2);
  pthread_sigmask(SIG_BLOCK, &set, NULL);
  return sigtimedwait(&set, NULL, &wait_time) == -1 && errno == EAGAIN ? 0 : errno ? errno : -1;
}

/** The timeout is the socket's. */
static int by_recv(void) {
  char byte;
  return recv(silent_fds[0], &byte, 1, 0) == -1 && errno == EAGAIN ? 0 : errno ? errno : -1;
}

// These wait for something that comes after the restore.
static int by_recv_late(void) {
  char byte = 0;
  return recv(patient_fds[0], &byte, 1, 0) == 1 && byte == 's' ? 0 : errno ? errno : -1;
}

static int by_epoll_untimed(void) {
  struct epoll_event event;
  sigset_t mask;
  sigemptyset(&mask);
  return epoll_pwait(epoll_fd, &event, 1, -1, &mask) == 1 && event.data.u32 == 42 ? 0 : errno ? errno : -1;
}

static int by_read(void) {
  char byte = 0;
  return read(late_fds[0], &byte, 1) == 1 && byte == 'r' ? 0 : errno ? errno : -1;
}

static int by_write(void) { return write(full_fds[1], "w", 1) == 1 ? 0 : errno; }

static int by_futex_untimed(void) {
  long result = syscall(SYS_futex, &woken, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
  return (result == 0 || errno == EAGAIN) && woken == 1 ? 0 : errno ? errno : -1;
}

static int by_poll_untimed(void) {
  struct pollfd fds = {.fd = late_fds[0], .events = POLLHUP};
  return poll(&fds, 1, -1) == 1 && (fds.revents & POLLHUP) ? 0 : errno ? errno : -1;
}

static pid_t waited_for;
static int by_wait(void) {
  int status;
  return waitpid(waited_for, &status, 0) == waited_for && status == 0 ? 0 : errno ? errno : -1;
}

static struct way {
  const char *name;
  int (*run)(void);
  bool timed;
  int result;
  int64_t took_ms;
  pthread_t id;
} ways[] = {
  {.name = "nanosleep", .run = by_nanosleep, .timed = true},
  {.name = "clock_nanosleep", .run = by_clock_nanosleep, .timed = true},
  {.name = "clock_nanosleep absolute", .run = by_absolute, .timed = true},
  {.name = "poll", .run = by_poll, .timed = true},
  {.name = "poll of nothing", .run = by_poll_none, .timed = true},
  {.name = "ppoll", .run = by_ppoll, .timed = true},
  {.name = "select", .run = by_select, .timed = true},
  {.name = "pselect", .run = by_pselect, .timed = true},
  {.name = "futex", .run = by_futex, .timed = true},
  {.name = "futex absolute", .run = by_futex_absolute, .timed = true},
  {.name = "pthread_cond_timedwait", .run = by_condition, .timed = true},
  {.name = "epoll_wait", .run = by_epoll, .timed = true},
  {.name = "sigtimedwait", .run = by_sigtimedwait, .timed = true},
  {.name = "recv", .run = by_recv, .timed = true},
  {.name = "recv of what comes", .run = by_recv_late},
  {.name = "epoll_pwait without time", .run = by_epoll_untimed},
  {.name = "read", .run = by_read},
  {.name = "write", .run = by_write},
  {.name = "futex without time", .run = by_futex_untimed},
  {.name = "poll without time", .run = by_poll_untimed},
  {.name = "waitpid", .run = by_wait},
};

static void *thread(void *argument) {
  struct way *way = argument;
  errno = 0;
  prepared();
  int64_t from = now_ms();
  way->result = way->run();
  way->took_ms = now_ms() - from;
  return NULL;
}

static void waits_too(void *unused) {
  (void)unused;
  close(late_fds[1]);
  wait_for_go();
}

int main(int argc, char **argv) {
  start(argc, argv);
  must(pipe(pipe_fds) == 0 && pipe(late_fds) == 0 && pipe(full_fds) == 0);
  must(socketpair(AF_UNIX, SOCK_STREAM, 0, silent_fds) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, patient_fds) == 0);
  struct timeval time = {wait_time.tv_sec, wait_time.tv_nsec / 1000}, hour = {3600, 0};
  must(setsockopt(silent_fds[0], SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time) == 0);
  must(setsockopt(patient_fds[0], SOL_SOCKET, SO_RCVTIMEO, &hour, sizeof hour) == 0);
  struct epoll_event hang_up = {.events = 0, .data.u32 = 42};
  must((epoll_fd = epoll_create1(0)) >= 0 && epoll_ctl(epoll_fd, EPOLL_CTL_ADD, late_fds[0], &hang_up) == 0);
  static char block[65536];
  must(write(full_fds[1], block, sizeof block) == sizeof block);
  waited_for = fork_child(waits_too, NULL);
  for (size_t i = 0; i < COUNT(ways); i++) must(pthread_create(&ways[i].id, NULL, thread, &ways[i]) == 0);
  await_prepared(COUNT(ways));
  ready();
  wait_for_go();
  // Not before the timed wait on the same epoll is over: the end of the pipe is what both would see.
  for (size_t i = 0; i < COUNT(ways); i++)
    if (ways[i].timed) pthread_join(ways[i].id, NULL);
  check(send(patient_fds[1], "s", 1, 0) == 1);
  check(write(late_fds[1], "r", 1) == 1);
  close(late_fds[1]);
  check(read(full_fds[0], block, sizeof block) == sizeof block);
  woken = 1;
  syscall(SYS_futex, &woken, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
  for (size_t i = 0; i < COUNT(ways); i++) {
    if (!ways[i].timed) pthread_join(ways[i].id, NULL);
    bool long_enough = !ways[i].timed || ways[i].took_ms >= WAIT_MS - 1;
    if (ways[i].result == 0 && long_enough) continue;
    char text[200];
    snprintf(text, sizeof text, "FAIL timed.c: %s: result %d, %d ms\n", ways[i].name, ways[i].result, (int)ways[i].took_ms);
    append("result", text);
    failures++;
  }
  return pass();
}
