// Epolls: level and edge, one that has fired, one in another, one whose watched numbers were closed, moved and used
// again, one that watches what only a child has, one shared with a child, one on which a child waits for its signal.
// kinds: fd/epoll
#include "workload.h"
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/socket.h>

static int shared, wakes, for_child, last_of_child;

static void control(int epoll, int what, int fd, uint32_t events, uint64_t data) {
  struct epoll_event event = {events, {.u64 = data}};
  must(epoll_ctl(epoll, what, fd, &event) == 0);
}

static void watch(int epoll, int fd, uint32_t events, uint64_t data) { control(epoll, EPOLL_CTL_ADD, fd, events, data); }

/** The sum of the data of all that is ready: each has a bit of its own. */
static uint64_t is_ready(int epoll) {
  struct epoll_event events[16];
  int count = epoll_wait(epoll, events, 16, 0);
  uint64_t all = 0;
  for (int i = 0; i < count; i++) all += events[i].data.u64;
  return count < 0 ? ~0ull : all;
}

static bool put(int fd) { return write(fd, "x", 1) == 1; }

static void waits_for_signal(void *unused) {
  (void)unused;
  sigset_t user;
  sigemptyset(&user), sigaddset(&user, SIGUSR1);
  sigprocmask(SIG_BLOCK, &user, NULL);
  int epoll = epoll_create1(0), signals = signalfd(-1, &user, 0);
  watch(epoll, signals, EPOLLIN, 1);
  prepared();
  struct epoll_event event;
  check(epoll_wait(epoll, &event, 1, -1) == 1 && event.data.u64 == 1);
}

static void waits_on_shared(void *unused) {
  (void)unused;
  prepared();
  struct epoll_event event;
  check(epoll_wait(shared, &event, 1, -1) == 1 && event.data.u64 == 8);
  check(epoll_ctl(shared, EPOLL_CTL_DEL, wakes, NULL) == 0);
}

/** Has the last descriptor of what its parent watches. */
static void has_what_is_watched(void *unused) {
  (void)unused;
  prepared();
  wait_for_go();
  char byte;
  check(put(for_child) && read(last_of_child, &byte, 1) == 1);
}

int main(int argc, char **argv) {
  start(argc, argv);
  int epoll = epoll_create1(EPOLL_CLOEXEC), pipes[6][2];
  for (size_t i = 0; i < COUNT(pipes); i++) must(pipe(pipes[i]) == 0);
  watch(epoll, pipes[0][0], EPOLLIN, 1);
  watch(epoll, pipes[1][0], EPOLLIN | EPOLLET, 2);
  watch(epoll, pipes[1][1], EPOLLPRI | EPOLLONESHOT, 1ull << 40);
  must(put(pipes[0][1]) && is_ready(epoll) == 1);

  // Fired, and hung up since: nobody hears of it before it is armed again.
  int fired = epoll_create1(0), pair[2];
  must(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
  watch(fired, pair[0], EPOLLIN | EPOLLRDHUP | EPOLLONESHOT, 1);
  watch(fired, pipes[0][0], EPOLLIN, 2);
  must(put(pair[1]) && is_ready(fired) == 3 && close(pair[1]) == 0 && is_ready(fired) == 2);

  int outer = epoll_create1(0);
  watch(outer, epoll, EPOLLIN, 1);

  // It knows three files by one number: the first is at another now, the second at the number, the third in a child.
  int numbers = epoll_create1(0);
  watch(numbers, pipes[2][0], EPOLLIN, 1);
  int moved = dup(pipes[2][0]), gone = dup(pipes[3][0]);
  must(dup2(gone, pipes[2][0]) >= 0 && close(gone) == 0);
  watch(numbers, pipes[2][0], EPOLLIN, 2);
  int last = eventfd(0, 0), kept = dup(last);
  watch(numbers, last, EPOLLIN, 4);
  must(close(last) == 0);
  int childs[2];
  must(pipe(childs) == 0);
  for_child = childs[1], last_of_child = pipes[4][0];
  watch(numbers, childs[0], EPOLLIN, 16);
  pid_t pids[3];
  pids[0] = fork_child(has_what_is_watched, NULL);
  must(close(childs[0]) == 0 && close(childs[1]) == 0);

  shared = epoll_create1(0), wakes = eventfd(0, 0);
  watch(shared, wakes, EPOLLIN, 8);
  pids[1] = fork_child(waits_on_shared, NULL);
  pids[2] = fork_child(waits_for_signal, NULL);
  await_prepared(3);
  usleep(20000);
  ready();
  wait_for_go();

  check(is_ready(epoll) == 1 && is_ready(outer) == 1);
  check(put(pipes[1][1]) && is_ready(epoll) == 3 && is_ready(epoll) == 1);
  control(epoll, EPOLL_CTL_MOD, pipes[1][1], EPOLLOUT, 4);
  check(is_ready(epoll) == 5);
  control(epoll, EPOLL_CTL_DEL, pipes[0][0], 0, 0);
  check(is_ready(epoll) == 4 && fcntl(epoll, F_GETFD) == FD_CLOEXEC);

  check(is_ready(fired) == 2);
  control(fired, EPOLL_CTL_MOD, pair[0], EPOLLIN | EPOLLONESHOT, 1);
  check(is_ready(fired) == 3 && is_ready(fired) == 2);

  // Until the child has written.
  for (int i = 0; i < 2000 && is_ready(numbers) == 0; i++) usleep(1000);
  check(is_ready(numbers) == 16);
  uint64_t one = 1;
  check(put(pipes[2][1]) && put(pipes[3][1]) && write(kept, &one, 8) == 8 && is_ready(numbers) == 23);
  control(numbers, EPOLL_CTL_DEL, pipes[2][0], 0, 0);
  check(is_ready(numbers) == 21);
  // The number by which the epoll knows it is the first one.
  check(dup2(moved, pipes[2][0]) >= 0);
  control(numbers, EPOLL_CTL_MOD, pipes[2][0], EPOLLIN, 32);
  check(is_ready(numbers) == 52);
  // When the child ends, its file is gone from there.
  check(put(pipes[4][1]) && ended_well(pids[0]) && is_ready(numbers) == 36);

  check(write(wakes, &one, 8) == 8 && ended_well(pids[1]) && is_ready(shared) == 0);
  kill(pids[2], SIGUSR1);
  check(ended_well(pids[2]));
  return pass();
}
