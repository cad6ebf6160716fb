// Private memory after fork: what one process writes the others never see, before and after the restore; untouched
// pages read alike everywhere.
// kinds: mem/pages
#include "workload.h"

#define PAGES 256
static unsigned char *area;

static bool page_is(size_t page, unsigned seed) { return has_pattern(area + page * PAGE, PAGE, seed); }

static void writes_odd(void *unused) {
  (void)unused;
  for (size_t i = 1; i < PAGES; i += 2) fill_pattern(area + i * PAGE, PAGE, 5000 + (unsigned)i);
  must(mprotect(area, 10 * PAGE, PROT_READ) == 0);
  must(madvise(area + 20 * PAGE, PAGE, MADV_DONTNEED) == 0);
  prepared();
  wait_for_go();
  for (size_t i = 0; i < PAGES; i++)
    if (i != 20) check(page_is(i, (i % 2 ? 5000 : 0) + (unsigned)i));
  check(area[20 * PAGE] == 0);
  memset(area + 100 * PAGE, 0xee, 50 * PAGE);
}

static void writes_nothing(void *unused) {
  (void)unused;
  prepared();
  wait_for_go();
  usleep(20000);
  for (size_t i = 0; i < PAGES; i++) check(page_is(i, (unsigned)i));
}

static void moved(void *unused) {
  (void)unused;
  unsigned char *other = mmap(NULL, (PAGES + 64) * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  must(other != MAP_FAILED);
  must(mremap(area, PAGES * PAGE, PAGES * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, other + 7 * PAGE) == other + 7 * PAGE);
  area = other + 7 * PAGE;
  prepared();
  wait_for_go();
  for (size_t i = 0; i < PAGES; i++) check(page_is(i, (unsigned)i));
}

int main(int argc, char **argv) {
  start(argc, argv);
  area = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  must(area != MAP_FAILED);
  for (size_t i = 0; i < PAGES; i++) fill_pattern(area + i * PAGE, PAGE, (unsigned)i);
  pid_t pids[] = {fork_child(writes_odd, NULL), fork_child(writes_nothing, NULL), fork_child(moved, NULL)};
  await_prepared(3);
  fill_pattern(area + 2 * PAGE, PAGE, 9999);
  ready();
  wait_for_go();
  for (size_t i = 0; i < PAGES; i++) check(page_is(i, i == 2 ? 9999 : (unsigned)i));
  memset(area, 0x11, PAGES * PAGE);
  for (size_t i = 0; i < COUNT(pids); i++) check(ended_well(pids[i]));
  return pass();
}
