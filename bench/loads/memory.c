// memory BOARD MEGABYTES STRIDE: private anonymous memory of which every STRIDE-th page is touched.
#include <string.h>

#include "load.h"

static char *memory;
static size_t pages, stride;

// No page is like another, so that nothing is gained by finding equal or empty ones.
static void fill(char *page, size_t number) {
  uint64_t word = number * 0x9e3779b97f4a7c15u + 1;
  for (size_t i = 0; i < PAGE; i += 8) {
    word = word * 6364136223846793005u + 1442695040888963407u;
    memcpy(page + i, &word, 8);
  }
}

static int check(void) {
  char expected[PAGE];
  for (size_t i = 0; i < pages; i++) {
    if (i % stride == 0) fill(expected, i);
    else memset(expected, 0, PAGE);
    // Untouched pages would come into being by a look at them: of those only some are looked at.
    if ((i % stride == 0 || i % 1024 == 1) && memcmp(memory + i * PAGE, expected, PAGE) != 0) return 0;
  }
  return 1;
}

int main(int argc, char **argv) {
  if (argc != 4) return 2;
  detach(argv[1]);
  pages = strtoul(argv[2], NULL, 10) * 256;
  stride = strtoul(argv[3], NULL, 10);
  if (pages > 0) {
    memory = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) fail("mmap");
    // Huge pages would fill the holes.
    if (stride > 1) madvise(memory, pages * PAGE, MADV_NOHUGEPAGE);
    for (size_t i = 0; i < pages; i += stride) fill(memory + i * PAGE, i);
  }
  ready();
  beat(0, check);
}
