// What a task stopped inside a call shows: orig_rax is the call, rax is -512 (read, open of a FIFO, futex and wait4 without a
// time), -514 (pause, sigsuspend, nanosleep absolute, ppoll, select, msgrcv) or -516 (nanosleep, poll and futex with a
// time); or it is -4 (EINTR), without any signal: epoll_wait, semop, rt_sigtimedwait, sockets with a timeout.
#include "kernel.h"
#include <sys/epoll.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/time.h>
#include <sys/un.h>

static int fds[2];
static int word;

static void in_read(void) { char byte; holds(read(fds[0], &byte, 1) == 1); }
static void in_pause(void) { pause(); }
static void in_nanosleep(void) { struct timespec t = {100, 0}; syscall(SYS_nanosleep, &t, NULL); }
static void in_nanosleep_absolute(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  t.tv_sec += 100;
  syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
}
static void in_poll(void) { struct pollfd p = {fds[0], POLLIN, 0}; syscall(SYS_poll, &p, 1, 100000); }
static void in_ppoll(void) { struct pollfd p = {fds[0], POLLIN, 0}; struct timespec t = {100, 0}; syscall(SYS_ppoll, &p, 1, &t, NULL, 8); }
static void in_select(void) { struct timeval t = {100, 0}; syscall(SYS_select, 0, NULL, NULL, NULL, &t); }
static void in_futex(void) { syscall(SYS_futex, &word, FUTEX_WAIT, 0, NULL, NULL, 0); }
static void in_futex_timed(void) { struct timespec t = {100, 0}; syscall(SYS_futex, &word, FUTEX_WAIT, 0, &t, NULL, 0); }
static void in_suspend(void) { uint64_t mask = 0; syscall(SYS_rt_sigsuspend, &mask, 8); }
static void in_wait(void) {
  if (fork() == 0) { prctl(PR_SET_PDEATHSIG, SIGKILL); for (;;) pause(); }
  syscall(SYS_wait4, -1, NULL, 0, NULL);
}

static int in_epoll(void) { int fd = epoll_create1(0); holds(fd >= 0); return fd; }
static void in_epoll_wait(void) { struct epoll_event e; syscall(SYS_epoll_wait, in_epoll(), &e, 1, -1); }
static void in_epoll_pwait(void) { struct epoll_event e; uint64_t mask = 0; syscall(SYS_epoll_pwait, in_epoll(), &e, 1, 100000, &mask, 8); }
static void in_epoll_pwait2(void) {
  struct epoll_event e;
  struct timespec t = {100, 0};
  syscall(441, in_epoll(), &e, 1, &t, NULL, 8);
}
static int semaphore(void) {
  int id = semget(IPC_PRIVATE, 1, 0600);
  holds(id >= 0);
  return id;
}
static int sem, queue;
static void in_semop(void) { struct sembuf op = {0, -1, 0}; syscall(SYS_semop, sem, &op, 1); }
static void in_semtimedop(void) { struct sembuf op = {0, -1, 0}; struct timespec t = {100, 0}; syscall(SYS_semtimedop, sem, &op, 1, &t); }
static void in_msgrcv(void) { struct { long type; char text[8]; } message; syscall(SYS_msgrcv, queue, &message, 8, 0, 0); }
static void in_sigtimedwait(void) { uint64_t mask = 1 << (SIGUSR1 - 1); sigset_t set; sigemptyset(&set); sigaddset(&set, SIGUSR1); sigprocmask(SIG_BLOCK, &set, NULL); syscall(SYS_rt_sigtimedwait, &mask, NULL, NULL, 8); }
static int in_socket(bool listens) {
  struct timeval t = {100, 0};
  int pair[2];
  if (listens) {
    struct sockaddr_un any = {.sun_family = AF_UNIX};
    holds((pair[0] = socket(AF_UNIX, SOCK_STREAM, 0)) >= 0);
    holds(bind(pair[0], (void *)&any, sizeof any.sun_family) == 0 && listen(pair[0], 1) == 0);
  } else holds(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
  holds(setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t) == 0);
  holds(setsockopt(pair[0], SOL_SOCKET, SO_SNDTIMEO, &t, sizeof t) == 0);
  return pair[0];
}
static char block[4096];
static int full(void) {
  int fd = in_socket(false);
  while (send(fd, block, sizeof block, MSG_DONTWAIT) > 0) continue;
  return fd;
}
static struct iovec vector = {block, 1};
static struct msghdr header = {.msg_iov = &vector, .msg_iovlen = 1};
static void in_recvfrom(void) { syscall(SYS_recvfrom, in_socket(false), block, 1, 0, NULL, NULL); }
static void in_recvmsg(void) { syscall(SYS_recvmsg, in_socket(false), &header, 0); }
static void in_socket_read(void) { syscall(SYS_read, in_socket(false), block, 1); }
static void in_socket_readv(void) { syscall(SYS_readv, in_socket(false), &vector, 1); }
static void in_accept(void) { syscall(SYS_accept, in_socket(true), NULL, NULL); }
static void in_accept4(void) { syscall(SYS_accept4, in_socket(true), NULL, NULL, 0); }
static void in_sendto(void) { syscall(SYS_sendto, full(), block, sizeof block, 0, NULL, 0); }
static void in_sendmsg(void) { vector.iov_len = sizeof block; syscall(SYS_sendmsg, full(), &header, 0); }
static void in_socket_write(void) { syscall(SYS_write, full(), block, sizeof block); }
static void in_socket_writev(void) { vector.iov_len = sizeof block; syscall(SYS_writev, full(), &vector, 1); }

static const struct {
  void (*run)(void);
  long nr, result;
  const char *name;
} calls[] = {
  {in_read, SYS_read, -512, "read"}, {in_futex, SYS_futex, -512, "futex"}, {in_wait, SYS_wait4, -512, "wait4"},
  {in_pause, SYS_pause, -514, "pause"}, {in_suspend, SYS_rt_sigsuspend, -514, "rt_sigsuspend"},
  {in_nanosleep_absolute, SYS_clock_nanosleep, -514, "clock_nanosleep absolute"},
  {in_ppoll, SYS_ppoll, -514, "ppoll"}, {in_select, SYS_select, -514, "select"},
  {in_nanosleep, SYS_nanosleep, -516, "nanosleep"}, {in_poll, SYS_poll, -516, "poll"},
  {in_futex_timed, SYS_futex, -516, "futex timed"}, {in_msgrcv, SYS_msgrcv, -514, "msgrcv"},
  {in_epoll_wait, SYS_epoll_wait, -4, "epoll_wait"}, {in_epoll_pwait, SYS_epoll_pwait, -4, "epoll_pwait"},
  {in_epoll_pwait2, 441, -4, "epoll_pwait2"}, {in_semop, SYS_semop, -4, "semop"},
  {in_semtimedop, SYS_semtimedop, -4, "semtimedop"}, {in_sigtimedwait, SYS_rt_sigtimedwait, -4, "rt_sigtimedwait"},
  {in_recvfrom, SYS_recvfrom, -4, "recvfrom"}, {in_recvmsg, SYS_recvmsg, -4, "recvmsg"},
  {in_socket_read, SYS_read, -4, "read of a socket"}, {in_socket_readv, SYS_readv, -4, "readv of a socket"},
  {in_accept, SYS_accept, -4, "accept"}, {in_accept4, SYS_accept4, -4, "accept4"},
  {in_sendto, SYS_sendto, -4, "sendto"}, {in_sendmsg, SYS_sendmsg, -4, "sendmsg"},
  {in_socket_write, SYS_write, -4, "write of a socket"}, {in_socket_writev, SYS_writev, -4, "writev of a socket"},
};

int main(void) {
  holds(pipe(fds) == 0);
  sem = semaphore();
  holds((queue = msgget(IPC_PRIVATE, 0600)) >= 0);
  for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
    pid_t pid = child_of(calls[i].run);
    until_asleep(pid);
    usleep(2000);
    seize(pid, 0);
    interrupt(pid);
    struct user_regs_struct regs = registers(pid);
    if ((long)regs.orig_rax != calls[i].nr || (long)regs.rax != calls[i].result)
      printf("%s: orig_rax %ld, rax %ld\n", calls[i].name, (long)regs.orig_rax, (long)regs.rax);
    holds((long)regs.orig_rax == calls[i].nr && (long)regs.rax == calls[i].result);
    // Two bytes back stands the syscall instruction, for a restart by hand.
    holds((ptrace(PTRACE_PEEKTEXT, pid, regs.rip - 2, 0) & 0xffff) == 0x050f);
    kill(pid, SIGKILL);
    holds(ended(pid) == 1000 + SIGKILL);
  }
  holds(semctl(sem, 0, IPC_RMID) == 0 && msgctl(queue, IPC_RMID, NULL) == 0);
  return 0;
}
