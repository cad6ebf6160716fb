// A thread and a child spin with every register loaded and make no system call; nothing that they hold may change.
// kinds: task/x86-registers
// cc: -pthread
// moves: registers
#include "workload.h"
#include <cpuid.h>

// What the spinning loop finds when it ends.
struct held {
  uint64_t general[12];             // rbx rcx rdx rsi r8..r15: all that the compiler and the loop leave us
  unsigned char x87[108];           // as fnsave writes it
  uint32_t mxcsr;
  unsigned char zmm[32][64];        // xmm and ymm are their low parts
  uint64_t masks[8];
  uint64_t gs;
};

static bool has_avx, has_avx512;

static const uint64_t general_values[12] = {
  0x0123456789abcdef, 0xfedcba9876543210, 0x8000000000000000, 1, 0xffffffffffffffff, 0x00000000ffffffff,
  0xffffffff00000000, 0x5555555555555555, 0xaaaaaaaaaaaaaaaa, 0x7fffffffffffffff, 0xdeadbeefcafebabe, 42,
};

__attribute__((target("avx512f,avx512bw"))) static void load_512(const unsigned char (*v)[64]) {
#define LOAD(n) __asm__ volatile("vmovdqu64 %0, %%zmm" #n : : "m"(v[n]));
  LOAD(0) LOAD(1) LOAD(2) LOAD(3) LOAD(4) LOAD(5) LOAD(6) LOAD(7) LOAD(8) LOAD(9) LOAD(10) LOAD(11) LOAD(12) LOAD(13)
  LOAD(14) LOAD(15) LOAD(16) LOAD(17) LOAD(18) LOAD(19) LOAD(20) LOAD(21) LOAD(22) LOAD(23) LOAD(24) LOAD(25) LOAD(26)
  LOAD(27) LOAD(28) LOAD(29) LOAD(30) LOAD(31)
#undef LOAD
#define MASK(n) __asm__ volatile("kmovw %0, %%k" #n : : "r"(0x1111 * n + 5));
  MASK(0) MASK(1) MASK(2) MASK(3) MASK(4) MASK(5) MASK(6) MASK(7)
#undef MASK
}

__attribute__((target("avx512f,avx512bw"))) static void save_512(unsigned char (*v)[64], uint64_t *masks) {
#define SAVE(n) __asm__ volatile("vmovdqu64 %%zmm" #n ", %0" : "=m"(v[n]));
  SAVE(0) SAVE(1) SAVE(2) SAVE(3) SAVE(4) SAVE(5) SAVE(6) SAVE(7) SAVE(8) SAVE(9) SAVE(10) SAVE(11) SAVE(12) SAVE(13)
  SAVE(14) SAVE(15) SAVE(16) SAVE(17) SAVE(18) SAVE(19) SAVE(20) SAVE(21) SAVE(22) SAVE(23) SAVE(24) SAVE(25) SAVE(26)
  SAVE(27) SAVE(28) SAVE(29) SAVE(30) SAVE(31)
#undef SAVE
  uint32_t m;
#define MASK(n) \
  __asm__ volatile("kmovw %%k" #n ", %0" : "=r"(m)); \
  masks[n] = m;
  MASK(0) MASK(1) MASK(2) MASK(3) MASK(4) MASK(5) MASK(6) MASK(7)
#undef MASK
}

#define SIXTEEN(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15)

__attribute__((target("avx"))) static void load_avx(const unsigned char (*v)[64]) {
#define LOAD(n) __asm__ volatile("vmovdqu %0, %%ymm" #n : : "m"(v[n]));
  SIXTEEN(LOAD)
#undef LOAD
}

__attribute__((target("avx"))) static void save_avx(unsigned char (*v)[64]) {
#define SAVE(n) __asm__ volatile("vmovdqu %%ymm" #n ", %0" : "=m"(v[n]));
  SIXTEEN(SAVE)
#undef SAVE
}

static void load_sse(const unsigned char (*v)[64]) {
#define LOAD(n) __asm__ volatile("movdqu %0, %%xmm" #n : : "m"(v[n]));
  SIXTEEN(LOAD)
#undef LOAD
}

static void save_sse(unsigned char (*v)[64]) {
#define SAVE(n) __asm__ volatile("movdqu %%xmm" #n ", %0" : "=m"(v[n]));
  SIXTEEN(SAVE)
#undef SAVE
}

// Loads the general registers from rdi, spins until *rax is not zero, stores them at rdi again. The loop touches
// flags and eax only; its operands wait on the stack.
__attribute__((naked, noinline)) static void spin(uint64_t *general __attribute__((unused)), volatile int *stop __attribute__((unused))) {
  __asm__(
    "push %rbx\n push %rbp\n push %r12\n push %r13\n push %r14\n push %r15\n"
    "push %rdi\n mov %rsi, %rbp\n"
    "mov 0(%rdi), %rbx\n mov 8(%rdi), %rcx\n mov 16(%rdi), %rdx\n mov 24(%rdi), %rsi\n"
    "mov 32(%rdi), %r8\n mov 40(%rdi), %r9\n mov 48(%rdi), %r10\n mov 56(%rdi), %r11\n"
    "mov 64(%rdi), %r12\n mov 72(%rdi), %r13\n mov 80(%rdi), %r14\n mov 88(%rdi), %r15\n"
    "1: mov (%rbp), %eax\n test %eax, %eax\n jz 1b\n"
    "pop %rdi\n"
    "mov %rbx, 0(%rdi)\n mov %rcx, 8(%rdi)\n mov %rdx, 16(%rdi)\n mov %rsi, 24(%rdi)\n"
    "mov %r8, 32(%rdi)\n mov %r9, 40(%rdi)\n mov %r10, 48(%rdi)\n mov %r11, 56(%rdi)\n"
    "mov %r12, 64(%rdi)\n mov %r13, 72(%rdi)\n mov %r14, 80(%rdi)\n mov %r15, 88(%rdi)\n"
    "pop %r15\n pop %r14\n pop %r13\n pop %r12\n pop %rbp\n pop %rbx\n ret");
}

struct spinner {
  volatile int stop;
  volatile int spinning;
  unsigned seed;
  struct held before, after;
};

static void hold(struct spinner *s) {
  struct held *in = &s->before, *out = &s->after;
  memcpy(in->general, general_values, sizeof in->general);
  in->general[11] += s->seed;
  memcpy(out->general, in->general, sizeof in->general);
  fill_pattern(in->zmm, sizeof in->zmm, s->seed);
  in->gs = 0x10000000 + s->seed * 4096;
  must(syscall(SYS_arch_prctl, 0x1001 /* ARCH_SET_GS */, in->gs) == 0);
  in->mxcsr = 0x1f80 | 0x6000 | 0x8000 | 0x20;  // round to zero, flush to zero, and an old inexact result
  uint16_t control = 0x0c7f;                    // 53 bits become 24, round to zero
  prepared();
  s->spinning = 1;

  // No function of a library from here on: it might use vector registers.
  __asm__ volatile("fninit; fldcw %0; fldpi; fldl2e; fldln2; fldlg2; fld1" : : "m"(control));
  __asm__ volatile("ldmxcsr %0" : : "m"(in->mxcsr));
  if (has_avx512) load_512(in->zmm);
  else if (has_avx) load_avx(in->zmm);
  else load_sse(in->zmm);
  spin(out->general, &s->stop);
  if (has_avx512) save_512(out->zmm, out->masks);
  else if (has_avx) save_avx(out->zmm);
  else save_sse(out->zmm);
  __asm__ volatile("stmxcsr %0" : "=m"(out->mxcsr));
  __asm__ volatile("fnsave %0" : "=m"(out->x87));
  uint32_t usual = 0x1f80;
  __asm__ volatile("ldmxcsr %0" : : "m"(usual));

  uint16_t control_after, tags;
  memcpy(&control_after, out->x87, 2);
  memcpy(&tags, out->x87 + 8, 2);
  check(memcmp(in->general, out->general, sizeof in->general) == 0);
  check(out->mxcsr == in->mxcsr);
  check(control_after == (control | 0x40));
  check(tags == 0x003f);
  long double one, pi;
  memcpy(&one, out->x87 + 28, 10);
  memcpy(&pi, out->x87 + 28 + 40, 10);
  check(one == 1.0L);
  check(pi > 3.14159265L && pi < 3.14159266L);
  size_t width = has_avx512 ? 64 : has_avx ? 32 : 16;
  for (int i = 0; i < (has_avx512 ? 32 : 16); i++) check(memcmp(in->zmm[i], out->zmm[i], width) == 0);
  if (has_avx512)
    for (int i = 0; i < 8; i++) check(out->masks[i] == (uint64_t)((0x1111 * i + 5) & 0xffff));
  check(syscall(SYS_arch_prctl, 0x1004 /* ARCH_GET_GS */, &out->gs) == 0 && out->gs == in->gs);
}

static void *thread(void *argument) {
  hold(argument);
  return NULL;
}

int main(int argc, char **argv) {
  start(argc, argv);
  __builtin_cpu_init();
  has_avx = __builtin_cpu_supports("avx");
  has_avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw");
  struct spinner *shared = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  must(shared != MAP_FAILED && sizeof *shared <= 4 * PAGE);
  shared->seed = 7;
  pid_t child = fork();
  must(child >= 0);
  if (child == 0) {
    hold(shared);
    child_end();
  }
  static struct spinner own = {.seed = 3};
  pthread_t id;
  must(pthread_create(&id, NULL, thread, &own) == 0);
  await_prepared(2);
  while (!own.spinning || !shared->spinning) usleep(1000);
  usleep(2000);
  ready();
  wait_for_go();
  own.stop = shared->stop = 1;
  pthread_join(id, NULL);
  check(ended_well(child));
  return pass();
}
