// What hangs on terminals beside their data: sessions with their own terminals whose members inherited them, descriptors
// of /dev/tty in each, a background job, a session on no terminal; a hung-up slave, a line that is partly typed, output
// that was stopped, and a master in packet mode that has not been told yet.
// kinds: tty/*
#include "pty.h"
#include <poll.h>

static bool can(int fd, short event, int wait_ms) {
  struct pollfd look = {fd, event, 0};
  return poll(&look, 1, wait_ms) == 1 && (look.revents & event);
}

/** The field tty_nr of /proc/self/stat: it is there whether or not a descriptor is. */
static int terminal_of_session(void) {
  char line[512];
  int fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC), tty = -1;
  ssize_t n = read(fd, line, sizeof line - 1);
  close(fd);
  if (n <= 0) return -1;
  line[n] = 0;
  sscanf(strrchr(line, ')') + 2, "%*c %*d %*d %*d %d", &tty);
  return tty;
}

static volatile sig_atomic_t interrupted;
static void on_interrupt(int sig) { (void)sig, interrupted = 1; }

struct session {
  struct pair pair;
  const char *says;
};

// In the background of its session, and its only descriptor of the terminal is one of /dev/tty.
static void background(void *says) {
  must(setpgid(0, 0) == 0);
  for (int fd = 0; fd < 64; fd++) close(fd);
  int tty = open("/dev/tty", O_RDWR);
  struct stat st;
  must(tty >= 0);
  int terminal = terminal_of_session();
  must(terminal != 0);
  prepared();
  wait_for_go();
  check(terminal_of_session() == terminal);
  check(fstat(tty, &st) == 0 && st.st_rdev == 0x500);
  check(tcgetpgrp(tty) == getppid() && tcgetsid(tty) == getppid() && getpgrp() == getpid());
  check(write(tty, says, strlen(says)) == (ssize_t)strlen(says));
}

static void leader(void *argument) {
  const struct session *session = argument;
  must(setsid() == getpid());
  must(ioctl(session->pair.slave, TIOCSCTTY, 0) == 0);
  close(session->pair.master);
  signal(SIGINT, on_interrupt);
  pid_t job = fork_child(background, (void *)session->says);
  prepared();
  wait_for_go();
  check(ended_well(job));
  check(write(session->pair.slave, "leader\n", 7) == 7);
  // Its terminal sends it what is typed: ^C.
  for (int i = 0; i < 2000 && !interrupted; i++) usleep(1000);
  check(interrupted);
}

int main(int argc, char **argv) {
  start(argc, argv);
  static struct session sessions[2] = {{.says = "one\n"}, {.says = "two\n"}};
  pid_t leaders[2];
  for (int i = 0; i < 2; i++) {
    sessions[i].pair = open_pair();
    leaders[i] = fork_child(leader, &sessions[i]);
    close(sessions[i].pair.slave);
  }

  struct pair gone = open_pair();
  close(gone.master);

  struct pair typing = open_pair();
  must(write(typing.master, "first\nsecond\4par", 16) == 16 && can(typing.slave, POLLIN, 1000));
  must(gets_text(typing.master, "first\r\nsecondpar"));

  struct pair stopped = open_pair();
  must(fcntl(stopped.slave, F_SETFL, O_NONBLOCK) == 0 && write(stopped.master, "\023", 1) == 1);
  while (can(stopped.slave, POLLOUT, 0)) usleep(500);

  struct pair packets = open_pair();
  int on = 1, state = -1;
  struct termios mode;
  must(ioctl(packets.master, TIOCPKT, &on) == 0 && tcgetattr(packets.slave, &mode) == 0);
  mode.c_iflag &= ~(tcflag_t)IXON;
  must(tcsetattr(packets.slave, TCSANOW, &mode) == 0 && write(packets.slave, "data", 4) == 4);

  struct pair locked = open_pair();
  must(ioctl(locked.master, TIOCSPTLCK, &on) == 0 && ioctl(locked.slave, TIOCEXCL) == 0 && fchmod(locked.slave, 0602) == 0);

  await_prepared(4);
  ready();
  wait_for_go();

  for (int i = 0; i < 2; i++) {
    check(gets_text(sessions[i].pair.master, i == 0 ? "one\r\nleader\r\n" : "two\r\nleader\r\n"));
    check(write(sessions[i].pair.master, "\003", 1) == 1);
    check(ended_well(leaders[i]));
  }

  char byte, text[32] = "";
  check(read(gone.slave, &byte, 1) == 0 && write(gone.slave, "x", 1) == -1 && errno == EIO);

  check(read(typing.slave, text, sizeof text) == 6 && memcmp(text, "first\n", 6) == 0);
  check(read(typing.slave, text, sizeof text) == 6 && memcmp(text, "second", 6) == 0);
  check(!can(typing.slave, POLLIN, 0));
  check(write(typing.master, "t\177k\n", 4) == 4 && read(typing.slave, text, sizeof text) == 5 && memcmp(text, "park\n", 5) == 0);
  check(gets_text(typing.master, "t\b \bk\r\n"));

  check(write(stopped.slave, "x", 1) == -1 && errno == EAGAIN);
  check(write(stopped.master, "\021", 1) == 1 && can(stopped.slave, POLLOUT, 1000) && write(stopped.slave, "x", 1) == 1);

  check(can(packets.master, POLLPRI, 0) && read(packets.master, &byte, 1) == 1 && byte == TIOCPKT_NOSTOP);
  check(read(packets.master, text, sizeof text) == 5 && memcmp(text, "\0data", 5) == 0);

  struct stat st;
  check(ioctl(locked.master, TIOCGPTLCK, &state) == 0 && state == 1);
  check(ioctl(locked.slave, TIOCGEXCL, &state) == 0 && state == 1);
  check(fstat(locked.slave, &st) == 0 && (st.st_mode & 07777) == 0602);
  return pass();
}
