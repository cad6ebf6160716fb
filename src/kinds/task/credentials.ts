// Credentials of a thread: ids, groups, capabilities, securebits, no_new_privs (credentials(7), capabilities(7)).
import type { creds_entry } from '../../image/messages/creds.ts'
import {
  PR_CAPBSET_DROP,
  PR_CAP_AMBIENT,
  PR_CAP_AMBIENT_CLEAR_ALL,
  PR_CAP_AMBIENT_RAISE,
  PR_GET_SECUREBITS,
  PR_SET_NO_NEW_PRIVS,
  PR_SET_SECUREBITS,
} from '../../linux/constants.ts'
import type { CredentialLines } from '../../linux/proc/status.ts'
import type { TaskBuild } from '../kind.ts'
import type { Question } from './question.ts'

const SECURE_NO_SETUID_FIXUP = 1 << 2
const LINUX_CAPABILITY_VERSION_3 = 0x20080522

export const askSecurebits: Question<number> = table => {
  const call = table.call('prctl', [PR_GET_SECUREBITS])
  return () => table.result(call)
}

const halves = (caps: bigint): number[] => [Number(caps & 0xffff_ffffn), Number(caps >> 32n)]
const whole = (caps: readonly number[]): bigint => BigInt(caps[0] ?? 0) | (BigInt(caps[1] ?? 0) << 32n)

export function credentialsOf(status: CredentialLines, secbits: number): creds_entry {
  return {
    uid: status.uid[0],
    euid: status.uid[1],
    suid: status.uid[2],
    fsuid: status.uid[3],
    gid: status.gid[0],
    egid: status.gid[1],
    sgid: status.gid[2],
    fsgid: status.gid[3],
    cap_inh: halves(status.capInh),
    cap_prm: halves(status.capPrm),
    cap_eff: halves(status.capEff),
    cap_bnd: halves(status.capBnd),
    cap_amb: halves(status.capAmb),
    secbits,
    groups: [...status.groups],
    ...(status.noNewPrivs ? { no_new_privs: 1 } : {}),
  }
}

/** Bits that `bounding`, the set of the restoring process, has and the image has not; in rising order. */
function dropped(bounding: bigint, wanted: bigint): number[] {
  const caps: number[] = []
  for (let cap = 0; cap < 64; cap++) if (((bounding & ~wanted) >> BigInt(cap)) & 1n) caps.push(cap)
  return caps
}

/** Capabilities of the image that the restorer cannot give, because it has them not itself. */
export const capabilitiesMissing = (creds: creds_entry, permitted: bigint): bigint => whole(creds.cap_prm) & ~permitted

/** Whether a new task has these credentials already, from us. */
export function hasCredentials(creds: creds_entry, own: creds_entry): boolean {
  const numbers = ['uid', 'gid', 'euid', 'egid', 'suid', 'sgid', 'fsuid', 'fsgid', 'secbits'] as const
  const lists = ['cap_inh', 'cap_prm', 'cap_eff', 'cap_bnd', 'cap_amb', 'groups'] as const
  const equal = (a: readonly number[], b: readonly number[]): boolean =>
    a.length === b.length && a.every((value, index) => value === b[index])
  return (
    numbers.every(name => creds[name] === own[name]) &&
    (creds.no_new_privs ?? 0) === (own.no_new_privs ?? 0) &&
    lists.every(name => equal(creds[name], own[name]))
  )
}

/**
 * Sets the credentials of a thread that still has those of the restorer. The order is the kernel's doing:
 * ids while the capability to set them is there, with capabilities kept over it; capabilities last; and
 * no_new_privs does not stand in the way of any.
 */
export function restoreCredentials(creds: creds_entry, bounding: bigint, at: TaskBuild): void {
  const groups = new Uint8Array(creds.groups.length * 4)
  creds.groups.forEach((gid, index) => new DataView(groups.buffer).setUint32(index * 4, gid, true))
  at.call('setgroups', creds.groups.length, creds.groups.length === 0 ? 0 : at.memory(groups))
  at.call('prctl', PR_SET_SECUREBITS, SECURE_NO_SETUID_FIXUP, 0, 0, 0)
  at.call('setresgid', creds.gid, creds.egid, creds.sgid)
  at.call('setfsgid', creds.fsgid)
  at.call('setresuid', creds.uid, creds.euid, creds.suid)
  at.call('setfsuid', creds.fsuid)
  // An old image may lack the bounding set: then nothing is taken from it.
  if (creds.cap_bnd.length > 0)
    for (const cap of dropped(bounding, whole(creds.cap_bnd))) at.call('prctl', PR_CAPBSET_DROP, cap, 0, 0, 0)
  at.call('prctl', PR_SET_SECUREBITS, creds.secbits, 0, 0, 0)
  const header = new Uint8Array(8)
  new DataView(header.buffer).setUint32(0, LINUX_CAPABILITY_VERSION_3, true)
  const data = new Uint8Array(24)
  const view = new DataView(data.buffer)
  for (const half of [0, 1]) {
    view.setUint32(half * 12, creds.cap_eff[half] ?? 0, true)
    view.setUint32(half * 12 + 4, creds.cap_prm[half] ?? 0, true)
    view.setUint32(half * 12 + 8, creds.cap_inh[half] ?? 0, true)
  }
  at.call('capset', at.memory(header), at.memory(data))
  at.call('prctl', PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
  const ambient = whole(creds.cap_amb)
  for (let cap = 0; cap < 64; cap++)
    if ((ambient >> BigInt(cap)) & 1n) at.call('prctl', PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0)
  if (creds.no_new_privs === 1) at.call('prctl', PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
}
