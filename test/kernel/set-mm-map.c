// PR_SET_MM_MAP sets all fields of the address space at once, and unlike the single PR_SET_MM calls it does not ask for
// CAP_SYS_RESOURCE. A new executable is refused (EBUSY) while the old one is mapped.
#include "kernel.h"
#include <linux/capability.h>
#include <linux/prctl.h>

static uint64_t stat_field(int number) {
  char text[2048] = "";
  int fd = open("/proc/self/stat", O_RDONLY);
  holds(read(fd, text, sizeof text - 1) > 0);
  close(fd);
  char *at = strrchr(text, ')') + 2;
  for (int i = 3; i < number; i++) at = strchr(at, ' ') + 1;
  return strtoull(at, NULL, 10);
}

int main(void) {
  struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct caps[2];
  holds(syscall(SYS_capget, &head, caps) == 0);
  caps[0].effective &= ~(1u << CAP_SYS_RESOURCE), caps[0].permitted &= ~(1u << CAP_SYS_RESOURCE);
  holds(syscall(SYS_capset, &head, caps) == 0);
  unsigned size = 0;
  if (prctl(PR_SET_MM, PR_SET_MM_MAP_SIZE, &size, 0, 0) != 0) skip("no PR_SET_MM_MAP: CONFIG_CHECKPOINT_RESTORE is off");
  holds(size == sizeof(struct prctl_mm_map));
  holds(prctl(PR_SET_MM, PR_SET_MM_ARG_START, (unsigned long)&head & ~7UL, 0, 0) == -1 && errno == EPERM);
  int exe = open("/bin/true", O_RDONLY);
  holds(exe >= 0);
  char *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  strcpy(page, "new arguments");
  uint64_t brk_start = stat_field(47);
  struct prctl_mm_map map = {
    .start_code = stat_field(26), .end_code = stat_field(27), .start_data = stat_field(45), .end_data = stat_field(46),
    .start_brk = brk_start, .brk = (uint64_t)sbrk(0), .start_stack = stat_field(28), .arg_start = (uint64_t)page,
    .arg_end = (uint64_t)page + 13, .env_start = (uint64_t)page + 100, .env_end = (uint64_t)page + 200, .exe_fd = (unsigned)-1,
  };
  holds(prctl(PR_SET_MM, PR_SET_MM_MAP, &map, sizeof map, 0) == 0);
  char text[64] = "";
  int fd = open("/proc/self/cmdline", O_RDONLY);
  holds(read(fd, text, sizeof text - 1) >= 13 && strncmp(text, "new arguments", 13) == 0);
  map.exe_fd = (unsigned)exe;
  holds(prctl(PR_SET_MM, PR_SET_MM_MAP, &map, sizeof map, 0) == -1 && errno == EBUSY);
  return 0;
}
