// System V IPC: variables, shared memory, message queues, semaphores.
import { bool, inner, message, optional, repeated, u32, u64, type State } from '../words.ts'

/** The sysctls of an IPC namespace. */
export const ipc_var_entry = message('ipc_var_entry', () => ({
  sem_ctls: repeated(u32(1)), // The four words of kernel.sem.
  msg_ctlmax: u32(2),
  msg_ctlmnb: u32(3),
  msg_ctlmni: u32(4),
  auto_msgmni: u32(5),
  shm_ctlmax: u64(6),
  shm_ctlall: u64(7),
  shm_ctlmni: u32(8),
  shm_rmid_forced: u32(9),
  mq_queues_max: u32(10),
  mq_msg_max: u32(11),
  mq_msgsize_max: u32(12),
  mq_msg_default: optional(u32(13)),
  mq_msgsize_default: optional(u32(14)),
  msg_next_id: optional(u32(15)),
  sem_next_id: optional(u32(16)),
  shm_next_id: optional(u32(17)),
}))
export type ipc_var_entry = State<typeof ipc_var_entry>

/** struct ipc_perm, the part that all three have. */
export const ipc_desc_entry = message('ipc_desc_entry', () => ({
  key: u32(1),
  uid: u32(2),
  gid: u32(3),
  cuid: u32(4),
  cgid: u32(5),
  mode: u32(6),
  id: u32(7),
}))
export type ipc_desc_entry = State<typeof ipc_desc_entry>

/** A segment of shared memory; its bytes follow the entry unless they are in a pagemap. */
export const ipc_shm_entry = message('ipc_shm_entry', () => ({
  desc: inner(1, ipc_desc_entry),
  size: u64(2),
  in_pagemaps: optional(bool(3)), // The bytes are in pagemap-shmem-<id>.img.
  hugetlb_flag: optional(u32(4)), // SHM_HUGETLB with a size.
}))
export type ipc_shm_entry = State<typeof ipc_shm_entry>

/** A message queue; `qnum` messages follow the entry. */
export const ipc_msg_entry = message('ipc_msg_entry', () => ({
  desc: inner(1, ipc_desc_entry),
  qbytes: u32(2), // The most bytes that it may hold.
  qnum: u32(3),
}))
export type ipc_msg_entry = State<typeof ipc_msg_entry>

/** One message; its bytes follow, padded to 8. */
export const ipc_msg = message('ipc_msg', () => ({ mtype: u64(1), msize: u32(2) }))
export type ipc_msg = State<typeof ipc_msg>

/** A set of semaphores; their values follow the entry, 16 bits each, padded to 8. */
export const ipc_sem_entry = message('ipc_sem_entry', () => ({ desc: inner(1, ipc_desc_entry), nsems: u32(2) }))
export type ipc_sem_entry = State<typeof ipc_sem_entry>
