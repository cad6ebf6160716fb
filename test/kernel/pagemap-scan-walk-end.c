// PAGEMAP_SCAN gathers 512 regions at a time, and leaves walk_end where that last was full: behind it are regions that the
// same call has told already. So a scan ends by its regions: fewer than asked for means that all were told.
#include "kernel.h"
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

struct page_region_ { uint64_t start, end, categories; };
struct pm_scan_arg_ {
  uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages, category_inverted, category_mask, category_anyof_mask,
    return_mask;
};
#define SCAN _IOWR('f', 16, struct pm_scan_arg_)
#define PRESENT 8
#define PAGES 1400

int main(void) {
  char *area = mmap(NULL, 2 * PAGES * 4096L, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  holds(area != MAP_FAILED);
  holds(madvise(area, 2 * PAGES * 4096L, MADV_NOHUGEPAGE) == 0);
  for (long i = 0; i < PAGES; i++) area[i * 2 * 4096] = 1;
  int fd = open("/proc/self/pagemap", O_RDONLY);
  holds(fd >= 0);
  static struct page_region_ regions[2 * PAGES];
  struct pm_scan_arg_ scan = {
    .size = sizeof scan, .start = (uint64_t)area, .end = (uint64_t)area + 2 * PAGES * 4096L, .vec = (uint64_t)regions,
    .vec_len = 2 * PAGES, .category_mask = PRESENT, .return_mask = 0,
  };
  int count = ioctl(fd, SCAN, &scan);
  if (count < 0 && errno == ENOTTY) skip("this kernel has no PAGEMAP_SCAN (Linux 6.7)");
  holds(count == PAGES);
  for (int i = 0; i < PAGES; i++) holds(regions[i].start == (uint64_t)area + i * 2 * 4096L);
  // What the last region says is right whatever walk_end says; a kernel that mends walk_end is right too.
  holds(regions[count - 1].end == (uint64_t)area + (2 * PAGES - 1) * 4096L);
  holds(scan.walk_end <= scan.end);
  return 0;
}
