// Jobs of sessions on terminals, each session on its own: a foreground group whose leader has ended, a job in the
// background that was stopped when it read, one that was stopped by ^Z; a session without its leader, which has no
// terminal any more; a group that is orphaned, which ^Z does not stop; the hang-up when a leader ends.
// kinds: tty/* task/pending
#include "workload.h"
#include <poll.h>
#include <termios.h>

enum { A, B, C, PAIRS };

static struct {
  int master, slave;
} pairs[PAIRS];

static struct shared {
  volatile pid_t group, member, reader, stopped, orphan, lost_sid;
  volatile int interrupted, hung_up, step;
} *shared;

static void reach(int step) {
  for (int i = 0; i < 50000 && shared->step < step; i++) usleep(200);
  must(shared->step >= step);
}

static char state_of(pid_t pid) {
  char path[64], line[512] = "";
  snprintf(path, sizeof path, "/proc/%d/stat", pid);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0 || read(fd, line, sizeof line - 1) < 0) return '?';
  close(fd);
  return strrchr(line, ')')[2];
}

static void await_state(pid_t pid, char state) {
  for (int i = 0; i < 20000 && state_of(pid) != state; i++) usleep(500);
  must(state_of(pid) == state);
}

static bool says(int fd, const char *text) { return write(fd, text, strlen(text)) == (ssize_t)strlen(text); }

static bool hears(int fd, const char *text) {
  char line[64] = "";
  ssize_t n = read(fd, line, sizeof line - 1);
  return n == (ssize_t)strlen(text) && strcmp(line, text) == 0;
}

static void on_interrupt(int sig) { (void)sig, shared->interrupted++; }
static void on_hang_up(int sig) { (void)sig, shared->hung_up++; }

/** In the foreground; who led its group is gone. */
static void member(void) {
  signal(SIGINT, on_interrupt);
  signal(SIGHUP, on_hang_up);
  shared->member = getpid();
  prepared();
  wait_for_go();
  check(getpgrp() == shared->group && tcgetpgrp(pairs[A].slave) == getpgrp());
  for (int i = 0; i < 20000 && !shared->hung_up; i++) usleep(500);
  check(shared->interrupted == 1 && shared->hung_up == 1);
}

static void reader(void *unused) {
  (void)unused;
  must(setpgid(0, 0) == 0);
  shared->reader = getpid();
  // Stopped by SIGTTIN here; the read is made again when it goes on in the foreground.
  check(hears(pairs[A].slave, "two\n"));
}

static void stops(void *unused) {
  (void)unused;
  must(setpgid(0, 0) == 0);
  shared->stopped = getpid();
  raise(SIGTSTP);
  check(says(pairs[A].slave, "again\n"));
}

static void leader(void *unused) {
  (void)unused;
  must(setsid() == getpid() && ioctl(pairs[A].slave, TIOCSCTTY, 0) == 0);
  signal(SIGTTOU, SIG_IGN);
  signal(SIGHUP, SIG_IGN);
  pid_t group = fork();
  must(group >= 0);
  if (group == 0) {
    must(setpgid(0, 0) == 0);
    shared->group = getpid();
    if (fork() == 0) {
      failures = 0;
      member();
      child_end();
    }
    while (shared->member == 0) usleep(200);
    must(tcsetpgrp(pairs[A].slave, getpgrp()) == 0);
    _exit(0);
  }
  must(ended_well(group));
  pid_t jobs[] = {fork_child(reader, NULL), fork_child(stops, NULL)};
  for (int i = 0; i < 2; i++) await_state(jobs[i], 'T');
  prepared();
  wait_for_go();
  check(tcgetpgrp(pairs[A].slave) == shared->group && tcgetsid(pairs[A].slave) == getpid());
  check(state_of(jobs[0]) == 'T' && state_of(jobs[1]) == 'T');
  check(getpgid(jobs[0]) == jobs[0] && getpgid(jobs[1]) == jobs[1] && getpgid(shared->member) == shared->group);
  reach(1);
  for (int i = 0; i < 20000 && !shared->interrupted; i++) usleep(500);
  check(shared->interrupted == 1);
  check(tcsetpgrp(pairs[A].slave, jobs[0]) == 0 && kill(-jobs[0], SIGCONT) == 0 && kill(-jobs[1], SIGCONT) == 0);
  shared->step = 2;
  check(ended_well(jobs[0]) && ended_well(jobs[1]));
  check(tcsetpgrp(pairs[A].slave, shared->group) == 0);
  // At its end its terminal hangs up for the group in the foreground.
}

static void loses_leader(void *unused) {
  (void)unused;
  must(setsid() == getpid() && ioctl(pairs[B].slave, TIOCSCTTY, 0) == 0);
  shared->lost_sid = getpid();
  pid_t self = getpid();
  // The end of the leader hangs up.
  signal(SIGHUP, SIG_IGN);
  if (fork() != 0) _exit(0);
  failures = 0;
  while (getppid() == self) usleep(200);
  prepared();
  wait_for_go();
  check(getsid(0) == shared->lost_sid && getpgrp() == shared->lost_sid);
  check(open("/dev/tty", O_RDWR) == -1 && errno == ENXIO);
  check(ioctl(pairs[B].slave, TIOCGSID, &(pid_t){0}) == -1 && errno == ENOTTY);
  check(says(pairs[B].slave, "lost\n"));
  child_end();
}

static void orphans(void *unused) {
  (void)unused;
  must(setsid() == getpid() && ioctl(pairs[C].slave, TIOCSCTTY, 0) == 0);
  pid_t between = fork();
  must(between >= 0);
  if (between == 0) {
    pid_t self = getpid();
    if (fork() != 0) _exit(0);
    failures = 0;
    signal(SIGTTOU, SIG_IGN);
    while (getppid() == self) usleep(200);
    must(setpgid(0, 0) == 0 && tcsetpgrp(pairs[C].slave, getpid()) == 0);
    shared->orphan = getpid();
    prepared();
    wait_for_go();
    check(tcgetpgrp(pairs[C].slave) == getpid() && tcgetsid(pairs[C].slave) == getsid(0));
    reach(1);
    // ^Z has been typed in front of it, and does nothing.
    check(hears(pairs[C].slave, "line\n"));
    child_end();
  }
  must(ended_well(between));
  prepared();
  wait_for_go();
  check(tcgetpgrp(pairs[C].slave) == shared->orphan);
  for (int i = 0; i < 20000 && state_of(shared->orphan) != 'Z' && state_of(shared->orphan) != '?'; i++) usleep(500);
}

int main(int argc, char **argv) {
  start(argc, argv);
  shared = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  must(shared != MAP_FAILED && prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);
  for (int i = 0; i < PAIRS; i++) {
    int unlock = 0;
    pairs[i].master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
    must(pairs[i].master >= 0 && ioctl(pairs[i].master, TIOCSPTLCK, &unlock) == 0);
    pairs[i].slave = ioctl(pairs[i].master, TIOCGPTPEER, O_RDWR | O_NOCTTY);
    must(pairs[i].slave >= 0);
  }
  fork_child(leader, NULL);
  must(ended_well(fork_child(loses_leader, NULL)));
  fork_child(orphans, NULL);
  await_prepared(5);
  ready();
  wait_for_go();
  usleep(50000);
  check(says(pairs[A].master, "\003") && says(pairs[C].master, "\032line\n"));
  shared->step = 1;
  reach(2);
  check(says(pairs[A].master, "two\n"));
  int status;
  for (pid_t pid; (pid = wait(&status)) > 0 || errno == EINTR;)
    if (pid > 0) check(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  char text[256] = "";
  check(read(pairs[A].master, text, sizeof text - 1) > 0 && strstr(text, "^C"));
  check(read(pairs[B].master, text, sizeof text - 1) == 6 && memcmp(text, "lost\r\n", 6) == 0);
  return pass();
}
