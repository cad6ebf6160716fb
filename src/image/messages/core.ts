// What makes a task and its threads: core-<pid>.img, one for each thread, and ids-<pid>.img.
import {
  alike,
  bool,
  bytes,
  choice,
  dict,
  enumeration,
  hex,
  i32,
  inner,
  message,
  optional,
  repeated,
  s32,
  text,
  u32,
  u64,
  type State,
} from '../words.ts'
import { thread_info_aarch64 } from './arch/aarch64.ts'
import { thread_info_arm } from './arch/arm.ts'
import { thread_info_loongarch64 } from './arch/loongarch64.ts'
import { thread_info_mips } from './arch/mips.ts'
import { thread_info_ppc64 } from './arch/ppc64.ts'
import { thread_info_riscv64 } from './arch/riscv64.ts'
import { thread_info_s390 } from './arch/s390.ts'
import { thread_info_x86 } from './arch/x86.ts'
import { creds_entry } from './creds.ts'
import { seccomp_mode } from './seccomp.ts'
import { sa_entry, signal_queue_entry } from './signals.ts'
import { task_timers_entry } from './timers.ts'

/** The machine of a thread, and with it which of the `ti_…` fields is there. */
export const march = enumeration('core_entry.march', {
  UNKNOWN: 0,
  X86_64: 1,
  ARM: 2,
  AARCH64: 3,
  PPC64: 4,
  S390: 5,
  MIPS: 6,
  LOONGARCH64: 7,
  RISCV64: 8,
})

export const rlimit_entry = message('rlimit_entry', () => ({ cur: u64(1), max: u64(2) }))
export type rlimit_entry = State<typeof rlimit_entry>

export const task_rlimits_entry = message('task_rlimits_entry', () => ({ rlimits: repeated(inner(1, rlimit_entry)) }))
export type task_rlimits_entry = State<typeof task_rlimits_entry>

/** Kernel objects by number: tasks with an equal number share the object. */
export const task_kobj_ids_entry = message('task_kobj_ids_entry', () => ({
  vm_id: u32(1),
  files_id: u32(2),
  fs_id: u32(3),
  sighand_id: u32(4),
  pid_ns_id: optional(u32(5)),
  net_ns_id: optional(u32(6)),
  ipc_ns_id: optional(u32(7)),
  uts_ns_id: optional(u32(8)),
  mnt_ns_id: optional(u32(9)),
  user_ns_id: optional(u32(10)),
  cgroup_ns_id: optional(u32(11)),
  time_ns_id: optional(u32(12)),
}))
export type task_kobj_ids_entry = State<typeof task_kobj_ids_entry>

/** What is the same for all threads of a task; only in the core of the leader. */
export const task_core_entry = message('task_core_entry', () => ({
  // 1 alive, 2 zombie, 3 stopped; crit has other words for 3 and 6, and we print its words.
  task_state: u32(1, dict('gen')),
  exit_code: u32(2), // As wait4(2) gives it.
  personality: u32(3),
  flags: u32(4), // PF_… of the kernel, from /proc/pid/stat.
  blk_sigset: u64(5, hex), // For old readers; each thread has its own.
  comm: text(6), // For old readers; each thread has its own.
  timers: optional(inner(7, task_timers_entry)),
  rlimits: optional(inner(8, task_rlimits_entry)),
  cg_set: optional(u32(9)), // For old readers; each thread has its own.
  signals_s: optional(inner(10, signal_queue_entry)), // Pending for the whole task.
  old_seccomp_mode: optional(choice(11, seccomp_mode)),
  old_seccomp_filter: optional(u32(12)),
  loginuid: optional(u32(13)), // 0xffffffff when unset.
  oom_score_adj: optional(i32(14)),
  sigactions: repeated(inner(15, sa_entry)), // By signal number from 1, without SIGKILL and SIGSTOP.
  child_subreaper: optional(bool(18)),
  blk_sigset_extended: optional(u64(20, hex)), // Signals 65 to 128, which only MIPS has.
  stop_signo: optional(u32(21)), // The signal that a stopped task was stopped by.
  membarrier_registration_mask: optional(u32(22, hex)), // What membarrier(2) has registered: bit n is command n.
}))
export type task_core_entry = State<typeof task_core_entry>

/** The alternative signal stack (sigaltstack). */
export const thread_sas_entry = message('thread_sas_entry', () => ({
  ss_sp: u64(1),
  ss_size: u64(2),
  ss_flags: u32(3),
}))
export type thread_sas_entry = State<typeof thread_sas_entry>

/** The registered restartable sequence area (rseq(2)). */
export const rseq_entry = message('rseq_entry', () => ({
  rseq_abi_pointer: u64(1),
  rseq_abi_size: u32(2),
  signature: u32(3),
  rseq_cs_pointer: optional(u64(4)), // The critical section that the thread was stopped in.
}))
export type rseq_entry = State<typeof rseq_entry>

/** What each thread has of its own. */
export const thread_core_entry = message('thread_core_entry', () => ({
  futex_rla: u64(1), // The head of the robust list (get_robust_list), 0 for none.
  futex_rla_len: u32(2),
  sched_nice: optional(s32(3)),
  sched_policy: optional(u32(4)), // SCHED_… of sched(7).
  sched_prio: optional(u32(5)), // Only for real-time policies.
  blk_sigset: optional(u64(6)),
  sas: optional(inner(7, thread_sas_entry)),
  pdeath_sig: optional(u32(8)), // prctl(PR_SET_PDEATHSIG).
  signals_p: optional(inner(9, signal_queue_entry)), // Pending for this thread.
  creds: optional(alike(inner(10, creds_entry))),
  seccomp_mode: optional(choice(11, seccomp_mode)),
  seccomp_filter: optional(u32(12)), // Its place in seccomp.img.
  comm: optional(text(13)),
  blk_sigset_extended: optional(u64(14)), // Signals 65 to 128, which only MIPS has.
  rseq_entry: optional(inner(15, rseq_entry)),
  cg_set: optional(u32(16)), // The id of a cg_set_entry.
  // Ours. The number of a timed call that the dump cut short (ax is -EINTR then), and what it had left of its time.
  timed_call: optional(u32(1000)),
  timed_left_ns: optional(u64(1001)),
  cpus_allowed: optional(bytes(1002)), // The mask of sched_getaffinity(2).
  timerslack_ns: optional(u64(1003)),
}))
export type thread_core_entry = State<typeof thread_core_entry>

/** One thread. `tc` is there for a leader, `thread_core` for any thread that lives. */
export const core_entry = message('core_entry', () => ({
  mtype: choice(1, march),
  thread_info: optional(inner(2, thread_info_x86)), // x86; the others are named by machine.
  ti_arm: optional(inner(6, thread_info_arm)),
  ti_aarch64: optional(inner(8, thread_info_aarch64)),
  ti_ppc64: optional(inner(9, thread_info_ppc64)),
  ti_s390: optional(inner(10, thread_info_s390)),
  ti_mips: optional(inner(11, thread_info_mips)),
  ti_loongarch64: optional(inner(12, thread_info_loongarch64)),
  ti_riscv64: optional(inner(13, thread_info_riscv64)),
  tc: optional(inner(3, task_core_entry)),
  ids: optional(inner(4, task_kobj_ids_entry)),
  thread_core: optional(inner(5, thread_core_entry)),
}))
export type core_entry = State<typeof core_entry>
