// Restartable sequences: a thread spins inside a critical section, registered by the C library. A stop, as any preemption,
// must abort it: the commit at its end may never be reached by a section that began before the stop.
// kinds: task/user-areas
// cc: -pthread
// moves: registers
#include "workload.h"
#include <sys/rseq.h>

struct section {
  uint32_t version, flags;
  uint64_t start, length, abort;
} __attribute__((aligned(32)));

static volatile int stop;
static volatile uint64_t aborted, committed, spun;

static struct rseq *area(void) { return (struct rseq *)((char *)__builtin_thread_pointer() + __rseq_offset); }

/** One section: spins until `stop`. Whether it reached its commit. */
static __attribute__((noinline)) bool section(void) {
  struct rseq *rseq = area();
  __asm__ goto volatile(
    ".pushsection .data.rel.local, \"aw\"\n .balign 32\n"
    "3: .long 0, 0\n .quad 1f, 2f - 1f, 4f\n .popsection\n"
    "lea 3b(%%rip), %%rax\n mov %%rax, %[cs]\n"
    "1: incq %[spun]\n mov %[stop], %%eax\n test %%eax, %%eax\n jz 1b\n"
    "incq %[committed]\n"
    "2: jmp 5f\n"
    // The signature that the library registered, right before the abort handler.
    ".long 0x53053053\n 4: jmp %l[restart]\n 5:"
    :
    : [cs] "m"(rseq->rseq_cs), [spun] "m"(spun), [stop] "m"(stop), [committed] "m"(committed)
    : "rax", "memory", "cc"
    : restart);
  return true;
restart:
  aborted++;
  return false;
}

static void *thread(void *unused) {
  (void)unused;
  prepared();
  while (!section()) continue;
  return NULL;
}

int main(int argc, char **argv) {
  start(argc, argv);
  if (__rseq_size == 0) return ready(), wait_for_go(), pass();  // The library has not registered any.
  pthread_t id;
  must(pthread_create(&id, NULL, thread, NULL) == 0);
  await_prepared(1);
  while (spun == 0) usleep(1000);
  ready();
  wait_for_go();
  uint64_t before = spun;
  usleep(20000);
  check(spun > before);
  check(committed == 0);
  uint64_t aborts = aborted;
  // Another CPU, if there is one, is a reason to abort too: the registration is alive.
  cpu_set_t all, one;
  must(sched_getaffinity(0, sizeof all, &all) == 0);
  for (int cpu = 0; cpu < CPU_SETSIZE && aborted == aborts; cpu++) {
    if (!CPU_ISSET(cpu, &all)) continue;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    check(pthread_setaffinity_np(id, sizeof one, &one) == 0);
    usleep(20000);
  }
  check(aborted > aborts || CPU_COUNT(&all) == 1);
  stop = 1;
  pthread_join(id, NULL);
  check(committed == 1);
  check((int)area()->cpu_id >= 0 && (int)area()->cpu_id < CPU_SETSIZE);
  return pass();
}
