// The cpuid instruction, for what no file tells: where the components of the XSAVE area are.
import { Arena, loadCode } from '../ffi.ts'

// rdi: u32 leaf, subleaf, then the places of eax, ebx, ecx, edx.
const CODE = Uint8Array.of(
  0x53, // push rbx
  0x8b,
  0x07, // mov eax, [rdi]
  0x8b,
  0x4f,
  0x04, // mov ecx, [rdi+4]
  0x0f,
  0xa2, // cpuid
  0x89,
  0x47,
  0x08, // mov [rdi+8], eax
  0x89,
  0x5f,
  0x0c, // mov [rdi+12], ebx
  0x89,
  0x4f,
  0x10, // mov [rdi+16], ecx
  0x89,
  0x57,
  0x14, // mov [rdi+20], edx
  0x5b, // pop rbx
  0xc3, // ret
)

let run: ((address: number) => void) | undefined
let arena: Arena | undefined

export function cpuid(leaf: number, subleaf: number): { eax: number; ebx: number; ecx: number; edx: number } {
  run ??= loadCode(CODE)
  arena ??= new Arena(4096)
  arena.view.setUint32(0, leaf, true)
  arena.view.setUint32(4, subleaf, true)
  run(arena.address)
  const word = (at: number): number => arena!.view.getUint32(at, true)
  return { eax: word(8), ebx: word(12), ecx: word(16), edx: word(20) }
}
