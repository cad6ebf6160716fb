// The heap grows after the restore, by brk and by malloc; the stack grows, below where it ever was.
// kinds: mem/mappings mem/pages
#include "workload.h"

static int __attribute__((noinline)) deep(int left) {
  volatile char frame[4000];
  memset((char *)frame, left & 0x7f, sizeof frame);
  int below = left > 0 ? deep(left - 1) : 0;
  return below + (frame[17] == (char)(left & 0x7f));
}

int main(int argc, char **argv) {
  start(argc, argv);
  char *first = sbrk(10 * PAGE);
  must(first != (void *)-1);
  fill_pattern(first, 10 * PAGE, 1);
  char *blocks[200];
  for (int i = 0; i < 200; i++) {
    blocks[i] = malloc((size_t)(i * 997 % 5000 + 1));
    memset(blocks[i], i, (size_t)(i * 997 % 5000 + 1));
  }
  for (int i = 0; i < 200; i += 3) free(blocks[i]);
  char *top = sbrk(0);
  must(deep(10) == 11);
  ready();
  wait_for_go();
  check(sbrk(0) == top);
  check(has_pattern(first, 10 * PAGE, 1));
  char *more = sbrk(300 * PAGE);
  check(more == top);
  bool zero = true;
  for (int i = 0; i < 300 * PAGE; i++) zero &= more[i] == 0;
  check(zero);
  memset(more, 1, 300 * PAGE);
  check(sbrk(-300 * PAGE) == top + 300 * PAGE && sbrk(0) == top);
  for (int i = 1; i < 200; i++)
    if (i % 3) {
      check(blocks[i][0] == (char)i && blocks[i][i * 997 % 5000] == (char)i);
      free(blocks[i]);
    }
  char *large = malloc(3 << 20);
  check(large != NULL);
  memset(large, 7, 3 << 20);
  free(large);
  check(deep(1200) == 1201);
  return pass();
}
