// rt_sigreturn takes all registers, the signal mask and the alternative stack from a frame anywhere in memory: rsp need only
// point behind its first word. A frame without floating-point state (fpstate 0) resets those registers.
#include "kernel.h"
#include <ucontext.h>

static void *frame;
static volatile int *arrived;

__attribute__((noreturn, used)) static void landed(void) {
  sigset_t mask;
  sigprocmask(SIG_SETMASK, NULL, &mask);
  *arrived = sigismember(&mask, SIGUSR1) == 1 && sigismember(&mask, SIGUSR2) == 0 ? 1 : 2;
  _exit(0);
}

__attribute__((naked)) static void landing(void) {
  __asm__(
    "cmp $0x1234, %rbx\n jne 1f\n cmp $0x5678, %r15\n jne 1f\n"
    "and $-16, %rsp\n call landed\n 1: ud2\n");
}

static void returns(void) {
  struct { uint64_t return_address; ucontext_t context; } *f = frame;
  memset(f, 0, sizeof *f);
  static char stack[65536];
  greg_t *r = f->context.uc_mcontext.gregs;
  r[REG_RIP] = (greg_t)landing, r[REG_RSP] = (greg_t)(stack + sizeof stack), r[REG_RBX] = 0x1234, r[REG_R15] = 0x5678;
  r[REG_EFL] = 0x202, r[REG_CSGSFS] = 0x33 | 0x2bLL << 48;
  sigaddset(&f->context.uc_sigmask, SIGUSR1);
  // No flag of uc_flags: the kernel then keeps the stack segment by itself.
  __asm__ volatile("mov %0, %%rsp\n mov %1, %%eax\n syscall" : : "r"(&f->context), "i"(SYS_rt_sigreturn) : "rax", "memory");
}

int main(void) {
  frame = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  arrived = shared_page();
  pid_t pid = child_of(returns);
  holds(ended(pid) == 0 && *arrived == 1);
  return 0;
}
