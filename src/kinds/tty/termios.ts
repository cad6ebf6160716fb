// The settings of a terminal: struct termios2 and struct winsize, and the same in images.
import type { termios_entry, winsize_entry } from '../../image/messages/tty.ts'

/** asm-generic/termbits.h: struct termios2 has the speeds behind struct termios. */
export const TERMIOS2_SIZE = 44
export const TERMIOS_SIZE = 36
export const WINSIZE_SIZE = 8
const CC_OFFSET = 17
const CC_COUNT = 19
/** How many words CRIU keeps c_cc in (TERMIOS_NCC). */
const CC_WORDS = 19

/** Indexes into c_cc. */
export const [VINTR, VEOF, VTIME, VMIN, VSTART, VSTOP, VEOL, VLNEXT, VEOL2] = [0, 4, 5, 6, 8, 9, 11, 15, 16] as const
export const [IGNCR, ICRNL, IXON] = [0o200, 0o400, 0o2000] as const
export const [ISIG, ICANON, ECHO, IEXTEN, EXTPROC] = [0o1, 0o2, 0o10, 0o100000, 0o200000] as const
/** A control character that is switched off. */
export const DISABLED = 0

export type Termios = {
  readonly c_iflag: number
  readonly c_oflag: number
  readonly c_cflag: number
  readonly c_lflag: number
  readonly c_line: number
  /** 19 characters, DISABLED where there is none. */
  readonly c_cc: Uint8Array
  /** In baud; 0 where only c_cflag tells (images of CRIU, and locked termios). */
  readonly c_ispeed: number
  readonly c_ospeed: number
}

/** Reads struct termios2, or struct termios, which has no speeds. */
export function termiosFrom(bytes: Uint8Array): Termios {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const hasSpeeds = bytes.length >= TERMIOS2_SIZE
  return {
    c_iflag: view.getUint32(0, true),
    c_oflag: view.getUint32(4, true),
    c_cflag: view.getUint32(8, true),
    c_lflag: view.getUint32(12, true),
    c_line: view.getUint8(16),
    c_cc: bytes.slice(CC_OFFSET, CC_OFFSET + CC_COUNT),
    c_ispeed: hasSpeeds ? view.getUint32(36, true) : 0,
    c_ospeed: hasSpeeds ? view.getUint32(40, true) : 0,
  }
}

/** Lays out struct termios2; its first TERMIOS_SIZE bytes are struct termios. */
export function termiosBytes(termios: Termios): Uint8Array {
  const bytes = new Uint8Array(TERMIOS2_SIZE)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, termios.c_iflag, true)
  view.setUint32(4, termios.c_oflag, true)
  view.setUint32(8, termios.c_cflag, true)
  view.setUint32(12, termios.c_lflag, true)
  view.setUint8(16, termios.c_line)
  bytes.set(termios.c_cc, CC_OFFSET)
  view.setUint32(36, termios.c_ispeed, true)
  view.setUint32(40, termios.c_ospeed, true)
  return bytes
}

/** c_cc as CRIU keeps it: the bytes themselves, copied over an array of 32-bit words, of which they fill the first five. */
export function termiosEntry(termios: Termios): termios_entry {
  const packed = new Uint8Array(4 * CC_WORDS)
  packed.set(termios.c_cc)
  const { c_iflag, c_oflag, c_cflag, c_lflag, c_line, c_ispeed, c_ospeed } = termios
  return { c_iflag, c_oflag, c_cflag, c_lflag, c_line, c_ispeed, c_ospeed, c_cc: [...new Uint32Array(packed.buffer)] }
}

/** The settings of an image; undefined where c_cc has too few characters. */
export function termiosOfEntry(entry: termios_entry): Termios | undefined {
  const { c_iflag, c_oflag, c_cflag, c_lflag, c_ispeed, c_ospeed } = entry
  if (entry.c_cc.length < CC_WORDS) return undefined
  return {
    c_iflag,
    c_oflag,
    c_cflag,
    c_lflag,
    c_line: entry.c_line & 0xff,
    c_ispeed,
    c_ospeed,
    c_cc: characters(entry.c_cc),
  }
}

/**
 * A word for each character is the other way to write them. Then words 5 to 7, VTIME, VMIN and VSWTC, are rarely all
 * zero; behind packed bytes they always are, and what follows is whatever was in CRIU's memory.
 */
function characters(words: readonly number[]): Uint8Array {
  const single = words.slice(0, CC_COUNT).every(word => word <= 0xff) && words.slice(5, 8).some(word => word !== 0)
  if (single) return Uint8Array.from(words.slice(0, CC_COUNT))
  return new Uint8Array(new Uint32Array(words.slice(0, CC_WORDS)).buffer).slice(0, CC_COUNT)
}

export function winsizeFrom(bytes: Uint8Array): winsize_entry {
  const [ws_row, ws_col, ws_xpixel, ws_ypixel] = new Uint16Array(bytes.slice(0, WINSIZE_SIZE).buffer)
  return { ws_row: ws_row!, ws_col: ws_col!, ws_xpixel: ws_xpixel!, ws_ypixel: ws_ypixel! }
}

export const winsizeBytes = ({ ws_row, ws_col, ws_xpixel, ws_ypixel }: winsize_entry): Uint8Array =>
  new Uint8Array(Uint16Array.of(ws_row, ws_col, ws_xpixel, ws_ypixel).buffer)

/** Whether a read gives whole lines: with EXTPROC the other end makes the lines, and reads give what there is. */
export const isCanonical = ({ c_lflag }: Termios): boolean => (c_lflag & (ICANON | EXTPROC)) === ICANON

const [CTRL_Q, CTRL_S] = [0x11, 0x13]

/** Whether the kernel tells a master in packet mode that ^S and ^Q stop and start output (pty_set_termios). */
export const hasUsualFlowControl = ({ c_iflag, c_cc }: Termios): boolean =>
  (c_iflag & IXON) !== 0 && c_cc[VSTOP] === CTRL_S && c_cc[VSTART] === CTRL_Q

/** `termios` with flow control by ^S and ^Q, or with none. */
export function withFlowControl(termios: Termios, on: boolean): Termios {
  if (!on) return { ...termios, c_iflag: termios.c_iflag & ~IXON }
  const c_cc = termios.c_cc.slice()
  c_cc[VSTOP] = CTRL_S
  c_cc[VSTART] = CTRL_Q
  return { ...termios, c_iflag: termios.c_iflag | IXON, c_cc }
}
