// The kernel's restart block outlives other calls that a tracer makes in the task: with the registers put back (rax -516,
// orig_rax the call), the call goes on for the time that is left. rt_sigreturn is the exception: it makes it EINTR.
#include "kernel.h"
#include <ucontext.h>

#define SLEEP_MS 400
static int64_t *took;
static struct { uint64_t return_address; ucontext_t context; } *frame;

static void sleeps(void) {
  struct timespec time = {0, SLEEP_MS * 1000000L};
  int64_t from = now_ms();
  int result = nanosleep(&time, NULL);
  *took = now_ms() - from;
  _exit(result == 0 ? 0 : errno);
}

static void sleeps_into_frame(void) {
  // What rt_sigreturn takes: it lands on the int3 behind our syscall instruction.
  static char stack[65536];
  greg_t *r = frame->context.uc_mcontext.gregs;
  r[REG_RIP] = (greg_t)syscall_instruction + 2, r[REG_RSP] = (greg_t)(stack + sizeof stack);
  r[REG_EFL] = 0x202, r[REG_CSGSFS] = 0x33 | 0x2bLL << 48;
  sleeps();
}

static pid_t stopped_sleeper(void (*run)(void)) {
  pid_t pid = child_of(run);
  until_asleep(pid);
  usleep(100000);
  seize(pid, 0);
  interrupt(pid);
  holds((long)registers(pid).rax == -516);
  return pid;
}

static void calls_do_not_matter(void) {
  pid_t pid = stopped_sleeper(sleeps);
  holds(remote(pid, SYS_getpid, 0, 0, 0, 0, 0, 0) == pid);
  holds(remote(pid, SYS_sched_yield, 0, 0, 0, 0, 0, 0) == 0);
  long at = remote(pid, SYS_mmap, 0, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  holds(at > 0 && remote(pid, SYS_munmap, at, PAGE, 0, 0, 0, 0) == 0);
  holds(ptrace(PTRACE_DETACH, pid, 0, 0) == 0);
  holds(ended(pid) == 0);
  holds(*took >= SLEEP_MS - 1 && *took < SLEEP_MS + 5000);
}

static void sigreturn_does(void) {
  pid_t pid = stopped_sleeper(sleeps_into_frame);
  struct user_regs_struct before = registers(pid), regs = before;
  regs.rip = (unsigned long)syscall_instruction;
  regs.rax = SYS_rt_sigreturn, regs.orig_rax = (unsigned long)-1;
  regs.rsp = (unsigned long)&frame->context;
  set_registers(pid, regs);
  holds(ptrace(PTRACE_CONT, pid, 0, 0) == 0);
  holds(WSTOPSIG(stopped(pid)) == SIGTRAP);
  set_registers(pid, before);
  holds(ptrace(PTRACE_DETACH, pid, 0, 0) == 0);
  holds(ended(pid) == EINTR);
}

int main(void) {
  took = shared_page();
  frame = shared_page();
  calls_do_not_matter();
  sigreturn_does();
  return 0;
}
