// The cpuid instruction, for what no file tells: where the components of the XSAVE area are.
import { once } from '../../base/run.ts'
import { Arena, loadCode, machineCode } from '../ffi.ts'

// rdi: u32 leaf, subleaf, then the places of eax, ebx, ecx, edx.
const CODE = machineCode(
  '53', // push rbx
  '8b07', // mov eax, [rdi]
  '8b4f04', // mov ecx, [rdi+4]
  '0fa2', // cpuid
  '894708', // mov [rdi+8], eax
  '895f0c', // mov [rdi+12], ebx
  '894f10', // mov [rdi+16], ecx
  '895714', // mov [rdi+20], edx
  '5b', // pop rbx
  'c3', // ret
)

const loaded = once(() => ({ run: loadCode(CODE), arena: new Arena(4096) }))

export function cpuid(leaf: number, subleaf: number): { eax: number; ebx: number; ecx: number; edx: number } {
  const { run, arena } = loaded()
  arena.view.setUint32(0, leaf, true)
  arena.view.setUint32(4, subleaf, true)
  run(arena.address)
  const word = (at: number): number => arena.view.getUint32(at, true)
  return { eax: word(8), ebx: word(12), ecx: word(16), edx: word(20) }
}
