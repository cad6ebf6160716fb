// One syscall instruction in the vdso, single-stepped, can unmap the very page that the task was running from: the step ends
// behind the instruction with the result in rax, before anything there is executed.
#include "kernel.h"
#include <sys/auxv.h>

static void waits(void) { for (;;) pause(); }

int main(void) {
  unsigned char *vdso = (unsigned char *)getauxval(AT_SYSINFO_EHDR);
  if (vdso == NULL) skip("no vdso");
  unsigned char *call = NULL;
  for (int i = 0; i < PAGE && call == NULL; i++)
    if (vdso[i] == 0x0f && vdso[i + 1] == 0x05) call = vdso + i;
  holds(call != NULL);
  unsigned char *scratch = mmap(NULL, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  scratch[0] = 0x0f, scratch[1] = 0x05, scratch[2] = 0xcc;
  pid_t pid = child_of(waits);
  until_asleep(pid);
  seize(pid, 0);
  interrupt(pid);
  struct user_regs_struct before = registers(pid), regs = before;
  regs.rip = (unsigned long)call;
  regs.rax = SYS_munmap, regs.orig_rax = (unsigned long)-1;
  regs.rdi = (unsigned long)scratch, regs.rsi = PAGE;
  set_registers(pid, regs);
  holds(ptrace(PTRACE_SINGLESTEP, pid, 0, 0) == 0);
  holds(WSTOPSIG(stopped(pid)) == SIGTRAP);
  regs = registers(pid);
  holds(regs.rax == 0 && regs.rip == (unsigned long)call + 2);
  errno = 0;
  holds(ptrace(PTRACE_PEEKDATA, pid, scratch, 0) == -1 && errno == EIO);
  kill(pid, SIGKILL);
  holds(ended(pid) == 1000 + SIGKILL);
  return 0;
}
