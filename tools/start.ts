// What an executable does before its runtime has started: code of ours at its entry point.
//
// Mostly it does not let the runtime start at all: it maps the memory of a process that has, and in which our modules
// are loaded and tried out, and goes on there (tools/freeze.ts, docs/decisions/frozen-start.md). Until the last parts,
// which replace memory of this very program, anything that is not as it was when that memory was taken sends it on to
// the runtime's own start, which never fails for such reasons.
//
// That one has two things done for it. JavaScriptCore takes its options from variables BUN_JSC_* and from nowhere else,
// before our first line runs, and starting a second time with them would cost the start twice: so they are set by
// setenv(3). And a working directory that was deleted is left, since the runtime does not start in one.
import { AT_FDCWD, ENOENT, O_CLOEXEC } from '../src/linux/constants.ts'
import { NR } from '../src/linux/nr.ts'
import { Elf } from './elf.ts'
import type { Frozen, Part } from './freeze.ts'
import { Code, systemCall, text, word32, word64 } from './machine-code.ts'

const ARCH_SET_FS = 0x1002
const PATH_MAX = 4096
const [PART_SIZE, ADVICE_SIZE, FEATURE_SIZE] = [32, 24, 24]
/** Whoever sets a variable of the runtime means it to be heeded, which only the runtime's own start does. */
const VARIABLE_OF_RUNTIME = [...new TextEncoder().encode('BUN_')]
const OUT_OF_MEMORY = 'bardo: out of memory\n'

/** The heap begins behind the last segment: frozen memory has its own there, and our code has to be out of its way. */
const BEHIND_HEAP = 64 << 20

// Instructions that name a place.
const [JE, JNE, JS, JMP, CALL] = [[0x0f, 0x84], [0x0f, 0x85], [0x0f, 0x88], [0xe9], [0xe8]]
const [MOV_EBX, MOV_ESI, MOV_EDI, MOV_R13D] = [[0xbb], [0xbe], [0xbf], [0x41, 0xbd]]
const [CMP_EBX, CMP_R13D] = [
  [0x81, 0xfb],
  [0x41, 0x81, 0xfd],
]

/** Where the bits that have to be there are in an entry of the table, behind leaf and subleaf; the operand names the register. */
const FEATURE_REGISTERS = [
  [0x45, 8], // eax
  [0x5d, 12], // ebx
  [0x4d, 16], // ecx
  [0x55, 20], // edx
] as const

/** Does `each` for every entry of a table, at rbx, and goes on at `end`. */
function putLoop(code: Code, table: string, size: number, end: string, each: () => void): void {
  code.refer(MOV_EBX, table).label(`${table} on`).refer(CMP_EBX, `${table} end`).jump(JE, end)
  each()
  code
    .put(0x83, 0xc3, size) // add ebx, size
    .jump(JMP, `${table} on`)
}

const partBytes = ({ address, length, prot, flags, offset }: Part, base: number): number[] => [
  ...word64(address),
  ...word64(length),
  ...word32(prot),
  ...word32(flags),
  ...word64(offset === undefined ? 0 : 'inFrozen' in offset ? base + offset.inFrozen : offset.inFile),
]

/** Maps the memory of `frozen`, whose contents begin at `base` in the file, and goes on in it; or to `cold`. */
function putThaw(code: Code, frozen: Frozen, base: number): void {
  code
    .put(0x48, 0x8b, 0x4c, 0x24, 0x10) // mov rcx, [rsp+16]: argc, above what was pushed
    .put(0x48, 0x8d, 0x74, 0xcc, 0x20) // lea rsi, [rsp+rcx*8+32]: envp
    .label('variable')
    .put(0x48, 0x8b, 0x3e) // mov rdi, [rsi]
    .put(0x48, 0x83, 0xc6, 0x08) // add rsi, 8
    .put(0x48, 0x85, 0xff) // test rdi, rdi
    .jump(JE, 'processor')
    .put(0x81, 0x3f, VARIABLE_OF_RUNTIME) // cmp dword [rdi], 'BUN_'
    .jump(JNE, 'variable')
    .jump(JMP, 'cold')
    // What the code in that memory was made for has to be here: features of the processor, and state the kernel keeps for it.
    .label('processor')
    .put(0x31, 0xc9) // xor ecx, ecx
    .put(0x0f, 0x01, 0xd0) // xgetbv
    .put(0x25, word32(frozen.processor.xcr0)) // and eax, xcr0
    .put(0x3d, word32(frozen.processor.xcr0)) // cmp eax, xcr0
    .jump(JNE, 'cold')
    .refer(MOV_R13D, 'features')
    .label('feature')
    .put(0x41, 0x8b, 0x45, 0x00) // mov eax, [r13]: leaf
    .put(0x41, 0x8b, 0x4d, 0x04) // mov ecx, [r13+4]: subleaf
    .put(0x0f, 0xa2) // cpuid
  for (const [register, offset] of FEATURE_REGISTERS)
    code
      .put(0x41, 0x23, register, offset) // and register, [r13+offset]
      .put(0x41, 0x3b, register, offset) // cmp register, [r13+offset]
      .jump(JNE, 'cold')
  code
    .put(0x49, 0x83, 0xc5, FEATURE_SIZE) // add r13, FEATURE_SIZE
    .refer(CMP_R13D, 'features end')
    .jump(JNE, 'feature')
    .put(0xbf, word32(AT_FDCWD)) // mov edi, AT_FDCWD
    .refer(MOV_ESI, 'executable')
    .put(0xba, word32(O_CLOEXEC)) // mov edx, O_CLOEXEC
    .put(systemCall(NR.openat))
    .put(0x85, 0xc0) // test eax, eax
    .jump(JS, 'cold')
    .put(0x41, 0x89, 0xc4) // mov r12d, eax
  // Parts where nothing may be yet.
  putLoop(code, 'parts', PART_SIZE, 'own', () => code.jump(CALL, 'map').jump(JNE, 'undo'))
  code
    .label('undo')
    .refer(CMP_EBX, 'parts')
    .jump(JE, 'undone')
    .put(0x83, 0xeb, PART_SIZE) // sub ebx, PART_SIZE
    .put(0x48, 0x8b, 0x3b) // mov rdi, [rbx]
    .put(0x48, 0x8b, 0x73, 0x08) // mov rsi, [rbx+8]
    .put(systemCall(NR.munmap))
    .jump(JMP, 'undo')
    .label('undone')
    .put(0x44, 0x89, 0xe7) // mov edi, r12d
    .put(systemCall(NR.close))
    .jump(JMP, 'cold')
    // Maps the part at rbx; "equal" when it lies where it is to lie.
    .label('map')
    .put(0x48, 0x8b, 0x3b) // mov rdi, [rbx]
    .put(0x48, 0x8b, 0x73, 0x08) // mov rsi, [rbx+8]
    .put(0x8b, 0x53, 0x10) // mov edx, [rbx+16]: prot
    .put(0x44, 0x8b, 0x53, 0x14) // mov r10d, [rbx+20]: flags
    .put(0x45, 0x89, 0xe0) // mov r8d, r12d: the file, which anonymous memory passes over
    .put(0x4c, 0x8b, 0x4b, 0x18) // mov r9, [rbx+24]: offset
    .put(systemCall(NR.mmap))
    .put(0x48, 0x3b, 0x03) // cmp rax, [rbx]
    .put(0xc3) // ret
    // Parts that replace what this program has. From here on there is no way back.
    .label('own')
  putLoop(code, 'own parts', PART_SIZE, 'advise', () => code.jump(CALL, 'map').jump(JNE, 'lost'))
  code
    .label('lost')
    .put(0xbf, word32(2)) // mov edi, 2: stderr
    .refer(MOV_ESI, 'out of memory')
    .put(0xba, word32(OUT_OF_MEMORY.length)) // mov edx, its length
    .put(systemCall(NR.write))
    .put(0xbf, word32(1)) // mov edi, 1
    .put(systemCall(NR.exit_group))
    .label('advise')
  putLoop(code, 'advice', ADVICE_SIZE, 'thaw', () =>
    code
      .put(0x48, 0x8b, 0x3b) // mov rdi, [rbx]
      .put(0x48, 0x8b, 0x73, 0x08) // mov rsi, [rbx+8]
      .put(0x8b, 0x53, 0x10) // mov edx, [rbx+16]
      .put(systemCall(NR.madvise)),
  )
  code
    .label('thaw')
    .put(0x44, 0x89, 0xe7) // mov edi, r12d
    .put(systemCall(NR.close))
    .put(0xbf, word32(ARCH_SET_FS)) // mov edi, ARCH_SET_FS
    .put(0x48, 0xbe, word64(frozen.registers.fs_base)) // mov rsi, fs_base
    .put(systemCall(NR.arch_prctl))
    // A function that makes a system call keeps these, and nobody looks at the others.
    .put(0x48, 0xbb, word64(frozen.registers.bx)) // mov rbx
    .put(0x48, 0xbd, word64(frozen.registers.bp)) // mov rbp
    .put(0x49, 0xbc, word64(frozen.registers.r12)) // mov r12
    .put(0x49, 0xbd, word64(frozen.registers.r13)) // mov r13
    .put(0x49, 0xbe, word64(frozen.registers.r14)) // mov r14
    .put(0x49, 0xbf, word64(frozen.registers.r15)) // mov r15
    .put(0x48, 0xbc, word64(frozen.registers.sp)) // mov rsp
    .put(0x48, 0xb9, word64(frozen.registers.ip)) // mov rcx, ip
    .put(0x31, 0xc0) // xor eax, eax: the call was answered
    .put(0xff, 0xe1) // jmp rcx
    .label('executable')
    .put(text('/proc/self/exe'))
    .label('out of memory')
    .put(text(OUT_OF_MEMORY))
    .label('features')
    .put(
      ...frozen.processor.features.map(({ leaf, subleaf, eax, ebx, ecx, edx }) =>
        [leaf, subleaf, eax, ebx, ecx, edx].flatMap(word32),
      ),
    )
    .label('features end')
    .label('parts')
    .put(...frozen.parts.map(part => partBytes(part, base)))
    .label('parts end')
    .label('own parts')
    .put(...frozen.ownParts.map(part => partBytes(part, base)))
    .label('own parts end')
    .label('advice')
    .put(
      ...frozen.advice.map(({ address, length, advice }) => [...word64(address), ...word64(length), ...word64(advice)]),
    )
    .label('advice end')
}

/** Sets the variables which are not set yet, goes to `directory` where there is no working directory any more, and starts. */
function putCold(code: Code, elf: Elf, { variables, directory }: Start): void {
  code.label('cold')
  const entries = Object.entries(variables)
  for (const [index] of entries.entries())
    code
      .refer(MOV_EDI, `name ${index}`)
      .refer(MOV_ESI, `value ${index}`)
      .put(0x31, 0xd2) // xor edx, edx: what the user has set stays
      .put(0xff, 0x14, 0x25, word32(elf.importOf('setenv'))) // call [setenv]
  code
    .put(0x48, 0x81, 0xec, word32(PATH_MAX)) // sub rsp, PATH_MAX
    .put(0x48, 0x89, 0xe7) // mov rdi, rsp
    .put(0xbe, word32(PATH_MAX)) // mov esi, PATH_MAX
    .put(systemCall(NR.getcwd))
    .put(0x48, 0x81, 0xc4, word32(PATH_MAX)) // add rsp, PATH_MAX
    .put(0x83, 0xf8, 0x100 - ENOENT) // cmp eax, -ENOENT
    .jump(JNE, 'on')
    .refer(MOV_EDI, 'directory')
    .put(systemCall(NR.chdir))
    .label('on')
    .put(0x5a, 0x5a) // pop rdx, pop rdx
    .put(0x48, 0xb8, word64(elf.entry)) // mov rax, entry
    .put(0xff, 0xe0) // jmp rax
    .label('directory')
    .put(text(directory))
  for (const [index, [name, value]] of entries.entries())
    code.label(`name ${index}`).put(text(name)).label(`value ${index}`).put(text(value))
}

/** What is done before the first line of an executable. */
export type Start = {
  readonly variables: Readonly<Record<string, string>>
  /** Where it goes if its working directory has been deleted. */
  readonly directory: string
  /** The memory that it starts from, where it can. */
  readonly frozen?: Frozen
}

/** Changes the executable at `path`, which nothing may be running. Throws if it is not built as expected. */
export function setStart(path: string, start: Start): void {
  using elf = new Elf(path)
  const address = elf.room + BEHIND_HEAP
  const code = new Code(address)
  // rdx is what the C library is to call at the end (rtld_fini). Twice: the stack stays aligned to 16 at calls.
  code.put(0x52, 0x52) // push rdx, push rdx
  if (start.frozen !== undefined) putThaw(code, start.frozen, elf.append(start.frozen.bytes))
  putCold(code, elf, start)
  elf.startAt(address, code.finish(), address)
}
