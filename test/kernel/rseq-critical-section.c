// A task stopped inside a restartable sequence shows registers inside it, with rseq_cs still set: the kernel aborts it only on
// its way out. A call made in it meanwhile, from elsewhere, makes the kernel clear rseq_cs: then nothing aborts the sequence
// any more when its registers are put back, and whoever did that must move rip to the abort handler himself.
// PTRACE_GET_RSEQ_CONFIGURATION tells where the area is.
#include "kernel.h"
#include <sys/rseq.h>

static volatile uint64_t *counts;  // Rounds of the loop, and aborts.

__attribute__((noinline)) static void spins(void) {
  struct rseq *rseq = (struct rseq *)((char *)__builtin_thread_pointer() + __rseq_offset);
  __asm__ volatile(
    ".pushsection .data.rel.local, \"aw\"\n .balign 32\n 3: .long 0, 0\n .quad sequence, sequence_end - sequence, 4f\n .popsection\n"
    "5: lea 3b(%%rip), %%rax\n mov %%rax, %[cs]\n"
    "sequence: incq (%[counts])\n jmp sequence\n sequence_end: ud2\n"
    ".long 0x53053053\n 4: incq 8(%[counts])\n jmp 5b\n"
    : : [cs] "m"(rseq->rseq_cs), [counts] "r"(counts) : "rax", "memory");
}
extern char sequence[], sequence_end[];

static bool inside(unsigned long rip) { return rip >= (unsigned long)sequence && rip < (unsigned long)sequence_end; }

static uint64_t area;

static uint64_t section(pid_t pid) {
  errno = 0;
  uint64_t word = (uint64_t)ptrace(PTRACE_PEEKDATA, pid, area + 8, 0);
  holds(errno == 0);
  return word;
}

/** Stops it inside the sequence with rseq_cs set. */
static void stop_inside(pid_t pid) {
  for (int i = 0; i < 200; i++) {
    interrupt(pid);
    if (inside(registers(pid).rip) && section(pid) != 0) return;
    holds(ptrace(PTRACE_CONT, pid, 0, 0) == 0);
    usleep(1000);
  }
  holds(!"a stop inside the sequence");
}

int main(void) {
  if (__rseq_size == 0) skip("the C library has not registered rseq");
  counts = shared_page();
  pid_t pid = child_of(spins);
  while (counts[0] < 1000) usleep(1000);
  seize(pid, 0);
  interrupt(pid);
  struct { uint64_t pointer; uint32_t size, signature, flags, pad; } found = {0};
  holds(ptrace((enum __ptrace_request)0x420f, pid, sizeof found, &found) == sizeof found);
  holds(found.signature == 0x53053053 && found.pointer != 0 && found.size >= 20);
  area = found.pointer;
  holds(ptrace(PTRACE_CONT, pid, 0, 0) == 0);
  usleep(1000);

  stop_inside(pid);
  uint64_t aborts = counts[1];
  holds(ptrace(PTRACE_CONT, pid, 0, 0) == 0);
  for (int i = 0; i < 2000 && counts[1] == aborts; i++) usleep(1000);
  holds(counts[1] > aborts);

  stop_inside(pid);
  holds(remote(pid, SYS_getpid, 0, 0, 0, 0, 0, 0) == pid);
  holds(section(pid) == 0 && inside(registers(pid).rip));
  aborts = counts[1];
  uint64_t rounds = counts[0];
  holds(ptrace(PTRACE_CONT, pid, 0, 0) == 0);
  while (counts[0] < rounds + 1000) usleep(1000);
  usleep(20000);
  holds(counts[1] == aborts);
  kill(pid, SIGKILL);
  holds(ended(pid) == 1000 + SIGKILL);
  return 0;
}
