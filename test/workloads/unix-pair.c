// Pairs of unix sockets: streams, packets and datagrams, with what is in their queues in both directions; one end only;
// shut down; with options; with an abstract name; connected by name; never connected; shared by parent and child; with
// a child blocked in each direction.
// kinds: fd/unix-socket fd/unix/pair fd/unix/packets fd/unix/options
#include "workload.h"

#include <linux/sockios.h>
#include <poll.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

static void make(int type, int fds[2]) { must(socketpair(AF_UNIX, type, 0, fds) == 0); }

static void put(int fd, size_t size, unsigned seed) {
  unsigned char *data = malloc(size + 1);
  fill_pattern(data, size, seed);
  must(send(fd, data, size, 0) == (ssize_t)size);
  free(data);
}

/** Reads `size` bytes of a stream. */
static bool gets_back(int fd, size_t size, unsigned seed) {
  unsigned char *data = malloc(size + 1);
  bool good = recv(fd, data, size, MSG_WAITALL) == (ssize_t)size && has_pattern(data, size, seed);
  free(data);
  return good;
}

/** Reads one packet, which has `size` bytes. */
static bool gets_packet(int fd, size_t size, unsigned seed) {
  unsigned char *data = malloc(size + 100);
  bool good = recv(fd, data, size + 100, MSG_DONTWAIT) == (ssize_t)size && has_pattern(data, size, seed);
  free(data);
  return good;
}

static bool is_empty(int fd) {
  char byte;
  return recv(fd, &byte, 1, MSG_DONTWAIT) == -1 && errno == EAGAIN;
}

static int option(int fd, int name) {
  int value = -1;
  socklen_t size = sizeof value;
  must(getsockopt(fd, SOL_SOCKET, name, &value, &size) == 0);
  return value;
}

static void set(int fd, int name, int value) { must(setsockopt(fd, SOL_SOCKET, name, &value, sizeof value) == 0); }

static struct sockaddr_un address;
static socklen_t address_size;

static void name_it(const char *suffix) {
  address.sun_family = AF_UNIX;
  int n = snprintf(address.sun_path + 1, sizeof address.sun_path - 1, "bardo-unix-pair-%d-%s", getpid(), suffix);
  address_size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);
}

/** Whether the socket, or its peer, has the address. */
static bool has_name(int fd, int (*ask)(int, struct sockaddr *, socklen_t *)) {
  struct sockaddr_un found = {0};
  socklen_t size = sizeof found;
  return ask(fd, (struct sockaddr *)&found, &size) == 0 && size == address_size && !memcmp(&found, &address, size);
}

static int to_child[2], blocked_reader[2], blocked_writer[2];

static void child(void *unused) {
  (void)unused;
  close(to_child[1]);
  prepared();
  wait_for_go();
  check(gets_packet(to_child[0], 1000, 21));
  check(send(to_child[0], "yes", 3, 0) == 3);
  char byte;
  check(recv(to_child[0], &byte, 1, 0) == 0);
}

static void reads(void *unused) {
  (void)unused;
  prepared();
  char text[4] = "";
  check(read(blocked_reader[0], text, 3) == 3 && strcmp(text, "yes") == 0);
}

static void writes(void *unused) {
  (void)unused;
  prepared();
  unsigned char data[1000];
  fill_pattern(data, sizeof data, 32);
  // A packet is sent whole or not at all: the call goes on as it began.
  check(write(blocked_writer[1], data, sizeof data) == sizeof data);
}

int main(int argc, char **argv) {
  start(argc, argv);
  signal(SIGPIPE, SIG_IGN);
  int stream[2], packets[2], datagrams[2], large[2], hung_up[2], hung_up_packets[2], hung_up_datagrams[2], half[2], ends[2], tuned[2];
  make(SOCK_STREAM, stream);
  put(stream[0], 777, 1), put(stream[0], 3, 2), put(stream[1], 150000, 3);
  int copy = dup(stream[0]);
  make(SOCK_SEQPACKET, packets);
  put(packets[0], 10, 4), put(packets[0], 0, 0), put(packets[0], 70000, 5), put(packets[1], 1, 6);
  make(SOCK_DGRAM, datagrams);
  put(datagrams[0], 0, 0), put(datagrams[0], 5, 7), put(datagrams[0], 5, 8), put(datagrams[1], 100000, 9);
  must(fcntl(datagrams[1], F_SETFL, O_NONBLOCK) == 0 && fcntl(datagrams[0], F_SETFD, FD_CLOEXEC) == 0);
  for (int i = 0; i < 30; i++) put(datagrams[1], 100, 50 + (unsigned)i);
  make(SOCK_STREAM, large);
  set(large[0], SO_SNDBUF, 2 << 20);
  bool is_large = option(large[0], SO_SNDBUF) > 3 << 20;
  size_t large_size = is_large ? 3 << 20 : 100000;
  put(large[0], large_size, 10);

  make(SOCK_STREAM, hung_up);
  put(hung_up[1], 500, 11);
  close(hung_up[1]);
  make(SOCK_SEQPACKET, hung_up_packets);
  put(hung_up_packets[1], 20, 12), put(hung_up_packets[1], 30, 13);
  close(hung_up_packets[1]);
  make(SOCK_DGRAM, hung_up_datagrams);
  put(hung_up_datagrams[1], 40, 14);
  close(hung_up_datagrams[1]);

  make(SOCK_STREAM, half);
  put(half[0], 60, 15), put(half[1], 70, 16);
  must(shutdown(half[0], SHUT_WR) == 0);
  make(SOCK_DGRAM, ends);
  must(shutdown(ends[0], SHUT_RD) == 0);

  make(SOCK_SEQPACKET, tuned);
  set(tuned[0], SO_SNDBUF, 30000), set(tuned[1], SO_PASSCRED, 1), set(tuned[0], SO_PRIORITY, 3), set(tuned[1], SO_RCVLOWAT, 7);
  set(tuned[0], SO_KEEPALIVE, 1), set(tuned[1], SO_BROADCAST, 1);
  struct timeval time = {3, 500000}, found = {0};
  must(setsockopt(tuned[0], SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time) == 0);
  int sndbuf = option(tuned[0], SO_SNDBUF);

  // Datagrams that know their sender by its name; and one that is connected to nothing.
  int named[2], alone = socket(AF_UNIX, SOCK_DGRAM, 0);
  make(SOCK_DGRAM, named);
  name_it("sender");
  must(alone >= 0 && bind(named[0], (struct sockaddr *)&address, address_size) == 0);
  put(named[0], 9, 17);
  must(send(named[0], "x", 1, 0) == 1);
  // Accepted from a listening socket that is gone.
  int listener = socket(AF_UNIX, SOCK_STREAM, 0), connected[2];
  name_it("listener");
  must(bind(listener, (struct sockaddr *)&address, address_size) == 0 && listen(listener, 1) == 0);
  must((connected[0] = socket(AF_UNIX, SOCK_STREAM, 0)) >= 0);
  must(connect(connected[0], (struct sockaddr *)&address, address_size) == 0);
  must((connected[1] = accept(listener, NULL, NULL)) >= 0 && close(listener) == 0);
  put(connected[0], 300, 18), put(connected[1], 400, 19);

  make(SOCK_SEQPACKET, to_child);
  make(SOCK_STREAM, blocked_reader);
  make(SOCK_SEQPACKET, blocked_writer);
  unsigned char data[1000];
  fill_pattern(data, sizeof data, 31);
  int full = 0;
  while (send(blocked_writer[1], data, sizeof data, MSG_DONTWAIT) == sizeof data) full++;
  put(to_child[1], 1000, 21);
  pid_t pids[] = {fork_child(child, NULL), fork_child(reads, NULL), fork_child(writes, NULL)};
  await_prepared(3);
  usleep(20000);
  ready();
  wait_for_go();

  char text[200];
  check(gets_back(copy, 150000, 3) && gets_back(stream[1], 777, 1) && gets_back(stream[1], 3, 2));
  check(is_empty(stream[0]) && is_empty(stream[1]));
  check(send(copy, "c", 1, 0) == 1 && recv(stream[1], text, 1, 0) == 1 && text[0] == 'c');
  check(gets_packet(packets[1], 10, 4) && gets_packet(packets[1], 0, 0) && gets_packet(packets[1], 70000, 5) && is_empty(packets[1]));
  check(gets_packet(packets[0], 1, 6) && is_empty(packets[0]));
  check(gets_packet(datagrams[1], 0, 0) && gets_packet(datagrams[1], 5, 7) && gets_packet(datagrams[1], 5, 8) && is_empty(datagrams[1]));
  check(gets_packet(datagrams[0], 100000, 9));
  for (int i = 0; i < 30; i++) check(gets_packet(datagrams[0], 100, 50 + (unsigned)i));
  check((fcntl(datagrams[1], F_GETFL) & O_NONBLOCK) && !(fcntl(datagrams[0], F_GETFL) & O_NONBLOCK));
  check(fcntl(datagrams[0], F_GETFD) == FD_CLOEXEC);
  check((option(large[0], SO_SNDBUF) > 3 << 20) == is_large && gets_back(large[1], large_size, 10));

  check(gets_back(hung_up[0], 500, 11) && recv(hung_up[0], text, 1, 0) == 0);
  check(send(hung_up[0], "x", 1, 0) == -1 && errno == EPIPE);
  struct pollfd one = {hung_up[0], POLLIN, 0};
  check(poll(&one, 1, 0) == 1 && (one.revents & POLLHUP) && !(one.revents & POLLERR));
  check(gets_packet(hung_up_packets[0], 20, 12) && gets_packet(hung_up_packets[0], 30, 13));
  check(recv(hung_up_packets[0], text, 1, 0) == 0);
  check(gets_packet(hung_up_datagrams[0], 40, 14) && is_empty(hung_up_datagrams[0]));
  check(send(hung_up_datagrams[0], "x", 1, 0) == -1 && errno == ECONNREFUSED);

  check(gets_back(half[1], 60, 15) && recv(half[1], text, 1, 0) == 0 && send(half[0], "x", 1, 0) == -1 && errno == EPIPE);
  check(gets_back(half[0], 70, 16) && send(half[1], "x", 1, 0) == 1 && recv(half[0], text, 1, 0) == 1);
  check(send(ends[1], "x", 1, 0) == -1 && errno == EPIPE && send(ends[0], "x", 1, 0) == 1 && recv(ends[1], text, 1, 0) == 1);

  check(option(tuned[0], SO_SNDBUF) == sndbuf && option(tuned[1], SO_PASSCRED) == 1 && option(tuned[0], SO_PASSCRED) == 0);
  check(option(tuned[0], SO_PRIORITY) == 3 && option(tuned[1], SO_RCVLOWAT) == 7 && option(tuned[0], SO_KEEPALIVE) == 1);
  check(option(tuned[1], SO_BROADCAST) == 1 && option(tuned[0], SO_TYPE) == SOCK_SEQPACKET);
  socklen_t size = sizeof found;
  check(getsockopt(tuned[0], SOL_SOCKET, SO_RCVTIMEO, &found, &size) == 0 && found.tv_sec == 3 && found.tv_usec == 500000);
  check(option(stream[0], SO_SNDBUF) == option(packets[0], SO_SNDBUF) && option(stream[0], SO_ERROR) == 0);

  check(has_name(connected[1], getsockname) && has_name(connected[0], getpeername));
  check(gets_back(connected[1], 300, 18) && gets_back(connected[0], 400, 19));
  name_it("sender");
  struct sockaddr_un from = {0};
  size = sizeof from;
  check(recvfrom(named[1], text, sizeof text, 0, (struct sockaddr *)&from, &size) == 9 && has_pattern(text, 9, 17));
  check(size == address_size && !memcmp(&from, &address, size) && has_name(named[0], getsockname));
  check(recv(named[1], text, sizeof text, 0) == 1 && text[0] == 'x');
  check(send(alone, "x", 1, 0) == -1 && errno == ENOTCONN);
  check(sendto(alone, "x", 1, 0, (struct sockaddr *)&address, address_size) == -1 && errno == EPERM);

  check(recv(to_child[1], text, 3, 0) == 3);
  close(to_child[0]);
  close(to_child[1]);
  check(write(blocked_reader[1], "yes", 3) == 3);
  while (full-- > 0) check(gets_packet(blocked_writer[0], sizeof data, 31));
  check(recv(blocked_writer[0], data, sizeof data, 0) == sizeof data && has_pattern(data, sizeof data, 32));
  for (size_t i = 0; i < COUNT(pids); i++) check(ended_well(pids[i]));
  return pass();
}
