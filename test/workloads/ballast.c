// Much memory, all of it different: argument 2 says how many MB. A dump of it takes long enough to be interrupted.
// alone: it is run by test/conformance/failing.test.ts
// kinds: mem/pages
#include "workload.h"

int main(int argc, char **argv) {
  start(argc, argv);
  size_t size = (size_t)(argc > 2 ? atoi(argv[2]) : 16) << 20;
  uint64_t *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  must(memory != MAP_FAILED);
  for (size_t i = 0; i < size / 8; i++) memory[i] = i * 0x9e3779b97f4a7c15ULL;
  ready();
  wait_for_go();
  size_t wrong = 0;
  for (size_t i = 0; i < size / 8; i++) wrong += memory[i] != i * 0x9e3779b97f4a7c15ULL;
  check(wrong == 0);
  return pass();
}
