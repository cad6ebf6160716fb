// What the processor could do where the dump was made: cpuinfo.img.
import { choice, enumeration, inner, message, optional, repeated, text, u32, u64, type State } from '../words.ts'

export const x86_vendor = enumeration('cpuinfo_x86_entry.vendor', { UNKNOWN: 0, INTEL: 1, AMD: 2 })

export const ppc64_endianness = enumeration('cpuinfo_ppc64_entry.endianness', { BIGENDIAN: 0, LITTLEENDIAN: 1 })

/** The words of cpuid, as CRIU numbers them. */
export const cpuinfo_x86_entry = message('cpuinfo_x86_entry', () => ({
  vendor_id: choice(1, x86_vendor),
  cpu_family: u32(2),
  model: u32(3),
  stepping: u32(4),
  capability_ver: u32(5),
  capability: repeated(u32(6)), // capability_ver says how many words there are and which.
  model_id: optional(text(7)),
  xfeatures_mask: optional(u64(8)),
  xsave_size: optional(u32(9)),
  xsave_size_max: optional(u32(10)),
}))
export type cpuinfo_x86_entry = State<typeof cpuinfo_x86_entry>

export const cpuinfo_ppc64_entry = message('cpuinfo_ppc64_entry', () => ({
  endian: choice(1, ppc64_endianness),
  hwcap: repeated(u64(2)),
}))
export type cpuinfo_ppc64_entry = State<typeof cpuinfo_ppc64_entry>

export const cpuinfo_s390_entry = message('cpuinfo_s390_entry', () => ({ hwcap: repeated(u64(2)) }))
export type cpuinfo_s390_entry = State<typeof cpuinfo_s390_entry>

export const cpuinfo_entry = message('cpuinfo_entry', () => ({
  x86_entry: repeated(inner(1, cpuinfo_x86_entry)),
  ppc64_entry: repeated(inner(2, cpuinfo_ppc64_entry)),
  s390_entry: repeated(inner(3, cpuinfo_s390_entry)),
}))
export type cpuinfo_entry = State<typeof cpuinfo_entry>
