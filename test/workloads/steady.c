// Threads that never stand still, and that would notice any trace of a dump that was killed or failed at any moment:
// registers, FPU, memory, signal masks, calls that wait. Each counts its rounds in a file that the test reads.
// With the argument `waiting` the busy one is not the main thread, which then waits in calls instead.
// alone: it is run by test/conformance/killed.test.ts and failing.test.ts
// cc: -pthread
// moves: registers tree
// kinds: task/x86-registers
#include "workload.h"
#include <linux/futex.h>
#include <poll.h>

#define WAIT_MS 15
#define MEMORY (3 << 20)

static volatile uint64_t *rounds;
static volatile bool ending;
static volatile int urgent, traps, heard, asked;
static unsigned char *memory;
static int silent[2], numbers[2];
static int never;
static pthread_t busy_one;
static const struct timespec wait_time = {0, WAIT_MS * 1000000L};

static void note(const char *who, const char *what, long result, int error) {
  char text[256];
  snprintf(text, sizeof text, "FAIL steady.c: %s: %s: %ld, errno %d %s\n", who, what, result, error, strerror(error));
  if (failures++ < 20) append("result", text);
}

static void on_urgent(int sig) { (void)sig, urgent++; }
static void on_trap(int sig) { (void)sig, traps++; }
static void on_user(int sig) { (void)sig, heard++; }

/** Spins for a while with known values in all registers that can hold one; those that then hold another, as bits. */
static uint64_t spin(uint64_t seed, uint64_t turns) {
  uint64_t wrong;
  __asm__ volatile(
    "mov %[seed], %%rax\n lea 1(%%rax), %%rbx\n lea 2(%%rax), %%rdx\n lea 3(%%rax), %%rsi\n lea 4(%%rax), %%rdi\n"
    "lea 5(%%rax), %%r8\n lea 6(%%rax), %%r9\n lea 7(%%rax), %%r10\n lea 8(%%rax), %%r11\n lea 9(%%rax), %%r12\n"
    "lea 10(%%rax), %%r13\n movq %%rax, %%xmm0\n movq %%rbx, %%xmm7\n movq %%r13, %%xmm15\n movq %%r12, %%mm3\n"
    "mov %[turns], %%rcx\n"
    "1: dec %%rcx\n pause\n jnz 1b\n"
    "xor %%ecx, %%ecx\n"
    "mov %%rax, %%r15\n cmp %[seed], %%rax\n je 2f\n or $1, %%rcx\n 2:\n"
    "inc %%r15\n cmp %%r15, %%rbx\n je 2f\n or $2, %%rcx\n 2:\n"
    "inc %%r15\n cmp %%r15, %%rdx\n je 2f\n or $4, %%rcx\n 2:\n"
    "inc %%r15\n cmp %%r15, %%rsi\n je 2f\n or $8, %%rcx\n 2:\n"
    "inc %%r15\n cmp %%r15, %%rdi\n je 2f\n or $16, %%rcx\n 2:\n"
    "inc %%r15\n cmp %%r15, %%r8\n je 2f\n or $32, %%rcx\n 2:\n"
    "inc %%r15\n cmp %%r15, %%r9\n je 2f\n or $64, %%rcx\n 2:\n"
    "inc %%r15\n cmp %%r15, %%r10\n je 2f\n or $128, %%rcx\n 2:\n"
    "inc %%r15\n cmp %%r15, %%r11\n je 2f\n or $256, %%rcx\n 2:\n"
    "inc %%r15\n cmp %%r15, %%r12\n je 2f\n or $512, %%rcx\n 2:\n"
    "inc %%r15\n cmp %%r15, %%r13\n je 2f\n or $1024, %%rcx\n 2:\n"
    "movq %%xmm0, %%r15\n cmp %[seed], %%r15\n je 2f\n or $2048, %%rcx\n 2:\n"
    "movq %%xmm7, %%r15\n dec %%r15\n cmp %[seed], %%r15\n je 2f\n or $4096, %%rcx\n 2:\n"
    "movq %%xmm15, %%r15\n sub $10, %%r15\n cmp %[seed], %%r15\n je 2f\n or $8192, %%rcx\n 2:\n"
    "movq %%mm3, %%r15\n sub $9, %%r15\n cmp %[seed], %%r15\n je 2f\n or $16384, %%rcx\n 2:\n"
    "emms\n mov %%rcx, %[wrong]\n"
    : [wrong] "=m"(wrong)
    : [seed] "m"(seed), [turns] "m"(turns)
    : "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r15", "xmm0", "xmm7", "xmm15",
      "mm3", "cc", "memory");
  return wrong;
}

/** What is blocked now. Each thread has a mask of its own. */
static uint64_t mask_now(void) {
  uint64_t mask = 0;
  syscall(SYS_rt_sigprocmask, SIG_SETMASK, NULL, &mask, 8);
  return mask;
}

static uint64_t set_own_mask(int number, bool hears) {
  sigset_t mask;
  sigemptyset(&mask);
  if (!hears) sigaddset(&mask, SIGUSR1);
  sigaddset(&mask, SIGRTMIN + 1 + number);
  must(pthread_sigmask(SIG_SETMASK, &mask, NULL) == 0);
  return mask_now();
}

// One round of each.
static void busy(uint64_t round) {
  uint64_t wrong = spin(round * 0x0101010101010101ULL, 20000);
  if (wrong != 0) note("busy", "registers", (long)wrong, 0);
  size_t page = round % (MEMORY / PAGE);
  if (!has_pattern(memory + page * PAGE, PAGE, 7)) note("busy", "memory", (long)page, 0);
  if (urgent != 0) note("busy", "SIGURG", urgent, 0), urgent = 0;
  if (traps != 0) note("busy", "SIGTRAP", traps, 0), traps = 0;
}

static void long_enough(const char *who, int64_t from) {
  int64_t took = now_ms() - from;
  if (took < WAIT_MS - 1) note(who, "was too short", took, 0);
}

static void sleeper(uint64_t round) {
  (void)round;
  struct timespec left = {0};
  int64_t from = now_ms();
  int result = nanosleep(&wait_time, &left);
  if (result != 0) note("nanosleep", "result", result, errno);
  else long_enough("nanosleep", from);
  // A signal to the busy thread, one at a time: each must be heard.
  if (heard == asked) asked++, pthread_kill(busy_one, SIGUSR1);
}

static void poller(uint64_t round) {
  (void)round;
  struct pollfd fd = {.fd = silent[0], .events = POLLIN};
  int64_t from = now_ms();
  int result = poll(&fd, 1, WAIT_MS);
  if (result != 0) note("poll", "result", result, errno);
  else long_enough("poll", from);
}

static void waiter(uint64_t round) {
  (void)round;
  int64_t from = now_ms();
  long result = syscall(SYS_futex, &never, FUTEX_WAIT, 0, &wait_time, NULL, 0);
  if (result != -1 || errno != ETIMEDOUT) note("futex", "result", result, errno);
  else long_enough("futex", from);
}

static void writer(uint64_t round) {
  uint64_t number = round;
  long result = write(numbers[1], &number, 8);
  if (result != 8) note("write", "result", result, errno);
  result = clock_nanosleep(CLOCK_MONOTONIC, 0, &wait_time, NULL);
  if (result != 0) note("clock_nanosleep", "result", result, (int)result);
}

static void reader(uint64_t round) {
  uint64_t number = 0;
  long result = read(numbers[0], &number, 8);
  if (result == 0 && ending) return;
  if (result != 8) note("read", "result", result, errno);
  else if (number != round) note("read", "number", (long)number, (int)round);
}

static struct worker {
  const char *name;
  void (*round)(uint64_t);
  pthread_t id;
} workers[] = {
  {.name = "busy", .round = busy}, {.name = "nanosleep", .round = sleeper}, {.name = "poll", .round = poller},
  {.name = "futex", .round = waiter}, {.name = "write", .round = writer}, {.name = "read", .round = reader},
};
#define READER (COUNT(workers) - 1)

static void *work(void *argument) {
  struct worker *self = argument;
  int number = (int)(self - workers);
  uint64_t mask = set_own_mask(number, number == 0);
  prepared();
  for (uint64_t round = 0; !ending; round++) {
    self->round(round);
    uint64_t now = mask_now();
    if (now != mask) note(self->name, "signal mask", (long)now, 0), mask = now;
    rounds[number] = round + 1;
  }
  return NULL;
}

/** Looks whether the test wants the end, without keeping a descriptor. */
static void *watch(void *unused) {
  (void)unused;
  set_own_mask(20, false);
  wait_for_go();
  ending = true;
  return NULL;
}

int main(int argc, char **argv) {
  start(argc, argv);
  bool main_is_busy = !(argc > 2 && strcmp(argv[2], "waiting") == 0);
  memory = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  must(memory != MAP_FAILED);
  for (size_t page = 0; page < MEMORY; page += PAGE) fill_pattern(memory + page, PAGE, 7);
  must(pipe(silent) == 0 && pipe(numbers) == 0);
  int fd = open(in_run("rounds"), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  must(fd >= 0 && ftruncate(fd, PAGE) == 0);
  rounds = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  must(rounds != MAP_FAILED);
  struct sigaction action = {.sa_handler = on_user};
  must(sigaction(SIGUSR1, &action, NULL) == 0);
  action.sa_handler = on_urgent;
  must(sigaction(SIGURG, &action, NULL) == 0);
  action.sa_handler = on_trap;
  must(sigaction(SIGTRAP, &action, NULL) == 0);

  // The main thread is the one in which the first calls of a dump are made.
  struct worker *mine = &workers[main_is_busy ? 0 : 1];
  mine->id = pthread_self();
  busy_one = workers[0].id;
  pthread_t watcher;
  must(pthread_create(&watcher, NULL, watch, NULL) == 0);
  // The busy one comes first, so that it is known before the sleeper sends it signals.
  for (size_t i = 0; i < COUNT(workers); i++) {
    if (&workers[i] != mine) must(pthread_create(&workers[i].id, NULL, work, &workers[i]) == 0);
    if (i == 0) busy_one = workers[0].id;
  }
  await_prepared(COUNT(workers) - 1);
  ready();
  work(mine);
  pthread_join(watcher, NULL);
  for (size_t i = 0; i < READER; i++)
    if (&workers[i] != mine) pthread_join(workers[i].id, NULL);
  close(numbers[1]);
  pthread_join(workers[READER].id, NULL);
  // The last signal may have been sent to a thread that had ended.
  check(heard == asked || heard == asked - 1);
  check(urgent == 0 && traps == 0);
  for (size_t page = 0; page < MEMORY; page += PAGE) check(has_pattern(memory + page, PAGE, 7));
  return pass();
}
