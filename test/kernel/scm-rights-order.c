// Descriptors that come by SCM_RIGHTS land at the lowest free numbers, in their order; a message carries 253 and no more.
#include "kernel.h"

static ssize_t send_fds(int socket, const int *fds, size_t count) {
  char control[CMSG_SPACE(sizeof(int) * 300)], byte = 'x';
  memset(control, 0, sizeof control);
  struct iovec io = {&byte, 1};
  struct msghdr message = {.msg_iov = &io, .msg_iovlen = 1, .msg_control = control, .msg_controllen = CMSG_SPACE(sizeof(int) * count)};
  struct cmsghdr *head = CMSG_FIRSTHDR(&message);
  *head = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(int) * count), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
  memcpy(CMSG_DATA(head), fds, sizeof(int) * count);
  return sendmsg(socket, &message, 0);
}

int main(void) {
  int pair[2], fds[254], got[253];
  holds(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) == 0);
  for (int i = 0; i < 254; i++) {
    fds[i] = open("/dev/null", O_RDWR);
    holds(fds[i] >= 0);
  }
  holds(send_fds(pair[0], fds, 254) == -1 && errno == EINVAL);
  // Their sizes tell them apart afterwards.
  int marks[253];
  for (int i = 0; i < 253; i++) {
    char name[32];
    snprintf(name, sizeof name, "mark %d", i);
    marks[i] = memfd_create(name, 0);
    holds(marks[i] >= 0 && ftruncate(marks[i], i + 1) == 0);
  }
  holds(send_fds(pair[0], marks, 253) == 1);
  // Holes here and there.
  close(fds[200]), close(fds[3]), close(fds[90]);
  int expected[253], n = 0;
  expected[n++] = fds[3], expected[n++] = fds[90], expected[n++] = fds[200];
  for (int i = marks[252] + 1; n < 253; i++) expected[n++] = i;

  char control[CMSG_SPACE(sizeof got)], byte;
  struct iovec io = {&byte, 1};
  struct msghdr message = {.msg_iov = &io, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  holds(recvmsg(pair[1], &message, 0) == 1 && !(message.msg_flags & MSG_CTRUNC));
  memcpy(got, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof got);
  for (int i = 0; i < 253; i++) {
    struct stat st;
    holds(got[i] == expected[i]);
    holds(fstat(got[i], &st) == 0 && st.st_size == i + 1);
  }
  return 0;
}
