import { describe, expect, test } from 'bun:test'
import { Child, tracedChild } from './child.ts'
import { findProbe, probe, PROBES } from './index.ts'

/** The names that `criu check --feature` of CRIU 4.2 knows. */
const CRIU =
  `mnt_id mem_dirty_track aio_remap timerfd tun tun_ns userns fdinfo_lock seccomp_suspend seccomp_filters loginuid
  cgroupns autofs tcp_half_closed compat_cr uffd uffd-noncoop can_map_vdso sk_ns sk_unix_file net_diag_raw nsid link_nsid
  kcmp_epoll timens external_net_ns clone3_set_tid newifindex nftables has_ipt_legacy pidfd_store ns_pid apparmor_stacking
  network_lock_nftables sockopt_buf_lock memfd_hugetlb move_mount_set_group openat2 get_rseq_conf ipv6_freebind
  pagemap_scan timer_cr_ids overlayfs_maps breakpoints pagemap_scan_guard_pages`.split(/\s+/)

describe('the probes', () => {
  test("answer to all of CRIU's names", () => {
    for (const name of CRIU) expect({ name, known: findProbe(name) !== undefined }).toEqual({ name, known: true })
    expect(new Set(PROBES.map(each => each.name)).size).toBe(PROBES.length)
  })

  test('leave no descriptor and no child behind', async () => {
    const { readdirSync, readFileSync } = await import('node:fs')
    const seen = () => ({
      fds: readdirSync('/proc/self/fd').length,
      children: readFileSync(`/proc/self/task/${process.pid}/children`, 'utf8'),
      mounts: readFileSync('/proc/self/mountinfo', 'utf8'),
    })
    for (const { run } of PROBES) run()
    const before = seen()
    for (const { run } of PROBES) run()
    expect(seen()).toEqual(before)
  })

  test('find on this kernel what every kernel has', () => {
    for (const name of ['map_files', 'pagemap', 'kcmp', 'mnt_id', 'ns_pid'])
      expect({ name, missing: probe(name) }).toEqual({ name, missing: undefined })
    expect(() => probe('no such')).toThrow(RangeError)
  })
})

describe('the child', () => {
  test('runs its table, hands results on, and ends at the first refusal', () => {
    using child = new Child()
    const pid = child.call('getpid')
    const alive = child.call('kill', pid, 0)
    const refused = child.call('close', 999)
    const never = child.call('getpid')
    const started = child.run()
    expect([child.result(pid), child.result(alive), child.result(refused), child.result(never)]).toEqual([
      started,
      0,
      -9,
      0,
    ])
  })

  test('can be traced', () => {
    const traced = tracedChild()
    expect(traced?.pid).toBeGreaterThan(0)
    traced?.child[Symbol.dispose]()
  })
})
