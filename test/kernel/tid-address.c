// PR_GET_TID_ADDRESS tells a thread's clear_child_tid, and set_tid_address sets it: what a join after a restore waits for.
#include "kernel.h"

int main(void) {
  int word, *seen = NULL;
  holds(syscall(SYS_set_tid_address, &word) == gettid());
  if (prctl(PR_GET_TID_ADDRESS, &seen, 0, 0, 0) != 0) skip("no PR_GET_TID_ADDRESS: CONFIG_CHECKPOINT_RESTORE is off");
  holds(seen == &word);
  return 0;
}
