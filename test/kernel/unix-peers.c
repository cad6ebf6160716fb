// How the ends of unix sockets look in sock_diag. Both ends of a pair name each other, of any type, and are
// established. When one is closed, the other's peer is 0: a stream or packet socket is then shut down both ways, a
// datagram socket only learns of it when it sends (ECONNREFUSED). One that was never connected has no peer at all.
#include "kernel.h"
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>

enum { ESTABLISHED = 1, CLOSE = 7, NONE = -1 };

static struct found {
  int state, shutdown;
  long peer;
} look(int fd) {
  struct stat st;
  holds(fstat(fd, &st) == 0);
  int netlink = socket(AF_NETLINK, SOCK_RAW, NETLINK_SOCK_DIAG);
  struct {
    struct nlmsghdr head;
    struct unix_diag_req body;
  } request = {
      .head = {.nlmsg_len = sizeof request, .nlmsg_type = SOCK_DIAG_BY_FAMILY, .nlmsg_flags = NLM_F_REQUEST},
      .body = {.sdiag_family = AF_UNIX, .udiag_states = -1, .udiag_ino = st.st_ino, .udiag_show = UDIAG_SHOW_PEER, .udiag_cookie = {-1, -1}},
  };
  holds(send(netlink, &request, sizeof request, 0) == sizeof request);
  static char answer[8192];
  ssize_t n = recv(netlink, answer, sizeof answer, 0);
  close(netlink);
  struct nlmsghdr *head = (void *)answer;
  holds(n > 0 && head->nlmsg_type == SOCK_DIAG_BY_FAMILY);
  struct unix_diag_msg *message = NLMSG_DATA(head);
  struct found found = {message->udiag_state, 0, NONE};
  char *at = (char *)(message + 1);
  while (at < answer + head->nlmsg_len) {
    struct nlattr *attribute = (void *)at;
    if (attribute->nla_type == UNIX_DIAG_PEER) found.peer = *(uint32_t *)(at + NLA_HDRLEN);
    if (attribute->nla_type == UNIX_DIAG_SHUTDOWN) found.shutdown = *(uint8_t *)(at + NLA_HDRLEN);
    at += NLA_ALIGN(attribute->nla_len);
  }
  return found;
}

static bool is(int fd, int state, long peer, int shutdown) {
  struct found found = look(fd);
  if (found.state == state && found.peer == peer && found.shutdown == shutdown) return true;
  printf("state %d, peer %ld, shutdown %d\n", found.state, found.peer, found.shutdown);
  return false;
}

static long inode(int fd) {
  struct stat st;
  holds(fstat(fd, &st) == 0);
  return (long)st.st_ino;
}

int main(void) {
  int types[] = {SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM}, fds[2];
  for (int i = 0; i < 3; i++) {
    bool datagrams = types[i] == SOCK_DGRAM;
    int alone = socket(AF_UNIX, types[i], 0);
    holds(is(alone, CLOSE, NONE, 0));
    holds(socketpair(AF_UNIX, types[i], 0, fds) == 0);
    holds(is(fds[0], ESTABLISHED, inode(fds[1]), 0) && is(fds[1], ESTABLISHED, inode(fds[0]), 0));
    holds(shutdown(fds[0], SHUT_WR) == 0);
    holds(is(fds[0], ESTABLISHED, inode(fds[1]), 2) && is(fds[1], ESTABLISHED, inode(fds[0]), datagrams ? 0 : 1));
    holds(socketpair(AF_UNIX, types[i], 0, fds) == 0 && close(fds[1]) == 0);
    holds(is(fds[0], ESTABLISHED, 0, datagrams ? 0 : 3));
    if (datagrams) holds(send(fds[0], "x", 1, 0) == -1 && errno == ECONNREFUSED);
  }
  return 0;
}
