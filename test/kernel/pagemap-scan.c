// PAGEMAP_SCAN tells pages apart as a dump needs it: never touched, the zero page, written, of a file as it is, of a file but
// written (then not PAGE_IS_FILE), swapped or present, under PROT_NONE too.
#include "kernel.h"
#include <linux/fs.h>

#ifndef PAGEMAP_SCAN
struct page_region { uint64_t start, end, categories; };
struct pm_scan_arg {
  uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages, category_inverted, category_mask, category_anyof_mask, return_mask;
};
#define PAGEMAP_SCAN _IOWR('f', 16, struct pm_scan_arg)
#define PAGE_IS_FILE (1 << 2)
#define PAGE_IS_PRESENT (1 << 3)
#define PAGE_IS_SWAPPED (1 << 4)
#define PAGE_IS_PFNZERO (1 << 5)
#endif

static uint64_t categories(int fd, void *at) {
  struct page_region region = {0};
  struct pm_scan_arg arg = {
    .size = sizeof arg, .start = (uint64_t)at, .end = (uint64_t)at + PAGE, .vec = (uint64_t)&region, .vec_len = 1,
    .return_mask = PAGE_IS_FILE | PAGE_IS_PRESENT | PAGE_IS_SWAPPED | PAGE_IS_PFNZERO,
    .category_anyof_mask = PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
  };
  int count = ioctl(fd, PAGEMAP_SCAN, &arg);
  if (count < 0 && errno == ENOTTY) skip("no PAGEMAP_SCAN: it came with Linux 6.7");
  holds(count >= 0 && arg.walk_end == arg.end);
  return count == 0 ? 0 : region.categories;
}

int main(void) {
  int fd = open("/proc/self/pagemap", O_RDONLY);
  holds(fd >= 0);
  volatile char *memory = mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  holds(madvise((void *)memory, 8 * PAGE, MADV_NOHUGEPAGE) == 0);
  (void)memory[PAGE];
  memory[2 * PAGE] = 1;
  memory[3 * PAGE] = 1;
  holds(mprotect((void *)(memory + 3 * PAGE), PAGE, PROT_NONE) == 0);
  holds(categories(fd, (void *)memory) == 0);
  holds(categories(fd, (void *)(memory + PAGE)) == (PAGE_IS_PRESENT | PAGE_IS_PFNZERO));
  holds((categories(fd, (void *)(memory + 2 * PAGE)) & (PAGE_IS_PRESENT | PAGE_IS_FILE | PAGE_IS_PFNZERO)) == PAGE_IS_PRESENT);
  holds((categories(fd, (void *)(memory + 3 * PAGE)) & (PAGE_IS_PRESENT | PAGE_IS_FILE)) == PAGE_IS_PRESENT);

  int exe = open("/proc/self/exe", O_RDONLY);
  volatile char *file = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, exe, 0);
  (void)file[0];
  file[PAGE] = 1;
  holds((categories(fd, (void *)file) & (PAGE_IS_PRESENT | PAGE_IS_FILE)) == (PAGE_IS_PRESENT | PAGE_IS_FILE));
  holds((categories(fd, (void *)(file + PAGE)) & (PAGE_IS_PRESENT | PAGE_IS_FILE)) == PAGE_IS_PRESENT);
  volatile char *shared = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  shared[0] = 1;
  holds(categories(fd, (void *)shared) & PAGE_IS_FILE);
  return 0;
}
