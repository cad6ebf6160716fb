/**
 * Options of the runtime's JavaScript engine for programs that live for milliseconds, as variables of the environment:
 * the executable has them from its build, `./bardo` sets them itself. Measured in docs/performance.md.
 */
export const RUNTIME_OPTIONS = {
  // The optimizing compilers take the other core from the processes that we wait for, and never earn their time back:
  // restores of 100 processes and of 32768 runs of pages took 1.4 and 1.7 times as long with them.
  BUN_JSC_useDFGJIT: '0',
  // A thread that touches memory for the heap in advance: it takes more of the kernel's time than it saves of ours.
  BUN_JSC_useWarmUpMarkedBlocks: '0',
  // The first compiler does pay, from some thousand calls of a function on, and on our own thread.
  BUN_JSC_useConcurrentJIT: '0',
  BUN_JSC_thresholdForJITAfterWarmUp: '2000',
  BUN_JSC_thresholdForJITSoon: '500',
} as const

/**
 * The runtime does not start in a directory that has been deleted. There it goes to one in which no name that a user
 * might write leads anywhere.
 */
export const WITHOUT_DIRECTORY = '/proc/self/fdinfo'

/** What the process whose memory the executable starts from has besides (tools/training.ts): threads cannot be frozen. */
export const FREEZE_OPTIONS = {
  ...RUNTIME_OPTIONS,
  BUN_JSC_numberOfGCMarkers: '1',
  BUN_JSC_useConcurrentGC: '0',
  MIMALLOC_PURGE_DELAY: '-1',
  // The area for restartable sequences is registered with the kernel by address, which the thawed process has done already.
  GLIBC_TUNABLES: 'glibc.pthread.rseq=0',
  // Symbols that are looked up late save registers in a place whose size is that of this processor's state.
  LD_BIND_NOW: '1',
  // With a home, a configuration file is looked for in it.
  HOME: '/',
} as const
