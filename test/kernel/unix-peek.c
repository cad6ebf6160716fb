// What reading the queue of a unix socket without taking from it relies on. With SO_PEEK_OFF 0, MSG_PEEK goes on where
// the last one ended, through a packet in pieces (MSG_TRUNC while more of it follows) and over empty packets; all is
// still there afterwards. Without room for control messages, MSG_CTRUNC tells of descriptors and none is installed.
// SIOCINQ counts all that is queued but for datagrams, of which it counts the first. An error of the connection is
// shown by POLLERR without being taken, and is taken by a peek; urgent data is shown by POLLPRI.
#include "kernel.h"
#include <linux/sockios.h>

static void pair(int type, int fds[2]) { holds(socketpair(AF_UNIX, type, 0, fds) == 0); }

static void peek_from(int fd, int offset) { holds(setsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, &offset, sizeof offset) == 0); }

static ssize_t peek(int fd, char *at, size_t size, int *flags) {
  struct iovec io = {at, size};
  struct msghdr message = {.msg_iov = &io, .msg_iovlen = 1};
  ssize_t n = recvmsg(fd, &message, MSG_PEEK | MSG_DONTWAIT);
  *flags = message.msg_flags;
  return n;
}

static int waiting(int fd) {
  int n = -1;
  holds(ioctl(fd, SIOCINQ, &n) == 0);
  return n;
}

static short shown(int fd) {
  struct pollfd one = {fd, POLLPRI, 0};
  holds(poll(&one, 1, 0) >= 0);
  return one.revents;
}

static void packets(int type) {
  int fds[2], flags, offset = 0;
  socklen_t size = sizeof offset;
  char text[8] = "";
  pair(type, fds);
  holds(getsockopt(fds[1], SOL_SOCKET, SO_PEEK_OFF, &offset, &size) == 0 && offset == -1);
  holds(send(fds[0], "", 0, 0) == 0 && send(fds[0], "abcdef", 6, 0) == 6 && send(fds[0], "", 0, 0) == 0 && send(fds[0], "g", 1, 0) == 1);
  holds(waiting(fds[1]) == (type == SOCK_DGRAM ? 0 : 7));
  peek_from(fds[1], 0);
  holds(peek(fds[1], text, 4, &flags) == 0 && !(flags & MSG_TRUNC));
  holds(peek(fds[1], text, 4, &flags) == 4 && (flags & MSG_TRUNC) && !memcmp(text, "abcd", 4));
  holds(peek(fds[1], text, 4, &flags) == 2 && !(flags & MSG_TRUNC) && !memcmp(text, "ef", 2));
  holds(peek(fds[1], text, 4, &flags) == 0);
  holds(peek(fds[1], text, 4, &flags) == 1 && text[0] == 'g');
  holds(peek(fds[1], text, 4, &flags) == -1 && errno == EAGAIN);
  peek_from(fds[1], -1);
  holds(recv(fds[1], text, 8, 0) == 0 && recv(fds[1], text, 8, 0) == 6 && recv(fds[1], text, 8, 0) == 0 && recv(fds[1], text, 8, 0) == 1);
  holds(recv(fds[1], text, 8, MSG_DONTWAIT) == -1 && errno == EAGAIN);
}

static void descriptors(int type) {
  int fds[2], flags;
  char text[8];
  pair(type, fds);
  union {
    struct cmsghdr head;
    char room[CMSG_SPACE(sizeof(int))];
  } control = {.head = {.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS}};
  memcpy(CMSG_DATA(&control.head), &fds[0], sizeof(int));
  struct iovec io = {"x", 1};
  struct msghdr message = {.msg_iov = &io, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
  holds(sendmsg(fds[0], &message, 0) == 1);
  int lowest = dup(0);
  close(lowest);
  holds(peek(fds[1], text, 8, &flags) == 1 && (flags & MSG_CTRUNC));
  holds(dup(0) == lowest);
}

int main(void) {
  int fds[2], flags;
  char text[8];
  packets(SOCK_DGRAM);
  packets(SOCK_SEQPACKET);
  descriptors(SOCK_STREAM);
  descriptors(SOCK_SEQPACKET);

  pair(SOCK_STREAM, fds);
  holds(write(fds[0], "abc", 3) == 3 && write(fds[0], "def", 3) == 3 && waiting(fds[1]) == 6);
  peek_from(fds[1], 0);
  holds(peek(fds[1], text, 4, &flags) == 4 && peek(fds[1], text + 4, 2, &flags) == 2 && !memcmp(text, "abcdef", 6));

  // The other end was closed with something unread.
  for (int type = SOCK_STREAM; type <= SOCK_SEQPACKET; type += SOCK_SEQPACKET - SOCK_STREAM) {
    pair(type, fds);
    holds(write(fds[0], "abc", 3) == 3 && close(fds[1]) == 0);
    holds((shown(fds[0]) & POLLERR) && (shown(fds[0]) & POLLERR));
    holds(peek(fds[0], text, 4, &flags) == -1 && errno == ECONNRESET && !(shown(fds[0]) & POLLERR));
  }
  pair(SOCK_STREAM, fds);
  holds(!(shown(fds[0]) & (POLLPRI | POLLERR)));
  if (send(fds[0], "u", 1, MSG_OOB) == 1) holds(shown(fds[1]) & POLLPRI);
  return 0;
}
