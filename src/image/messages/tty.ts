// Terminals: a descriptor is a tty_file_entry, the terminal behind it a tty_info_entry.
import { bool, bytes, choice, enumeration, hex, inner, message, optional, repeated, u32, type State } from '../words.ts'
import { fown_entry } from './fown.ts'

/** struct ktermios; `c_cc` has one word for each control character. */
export const termios_entry = message('termios_entry', () => ({
  c_iflag: u32(1),
  c_oflag: u32(2),
  c_cflag: u32(3),
  c_lflag: u32(4),
  c_line: u32(5),
  c_ispeed: u32(6),
  c_ospeed: u32(7),
  c_cc: repeated(u32(8)),
}))
export type termios_entry = State<typeof termios_entry>

export const winsize_entry = message('winsize_entry', () => ({
  ws_row: u32(1),
  ws_col: u32(2),
  ws_xpixel: u32(3),
  ws_ypixel: u32(4),
}))
export type winsize_entry = State<typeof winsize_entry>

export const tty_pty_entry = message('tty_pty_entry', () => ({ index: u32(1) }))
export type tty_pty_entry = State<typeof tty_pty_entry>

/** `EXT_TTY` is one that stays outside the tree and is given anew on restore. */
export const TtyType = enumeration('TtyType', { UNKNOWN: 0, PTY: 1, CONSOLE: 2, VT: 3, CTTY: 4, EXT_TTY: 5, SERIAL: 6 })

/** A terminal, or one end of a pair. */
export const tty_info_entry = message('tty_info_entry', () => ({
  id: u32(1), // What tty_file_entry names it by.
  type: choice(2, TtyType),
  locked: bool(3), // TIOCGPTLCK.
  exclusive: bool(4), // TIOCGEXCL.
  packet_mode: bool(5), // TIOCGPKT.
  sid: u32(6), // The session it controls, 0 for none.
  pgrp: u32(7), // Its foreground group.
  rdev: u32(8), // As stat(2) gives it, like dev.
  termios: optional(inner(9, termios_entry)),
  termios_locked: optional(inner(10, termios_entry)), // TIOCGLCKTRMIOS: which bits may not be changed.
  winsize: optional(inner(11, winsize_entry)),
  pty: optional(inner(12, tty_pty_entry)), // The number in /dev/pts; of both ends.
  dev: optional(u32(13)),
  uid: optional(u32(14)), // Owner of the device file.
  gid: optional(u32(15)),
  devpts: optional(u32(1000)), // Of a pty: the device of the devpts that has its number. CRIU knows only one.
  packet_status: optional(u32(1001)), // Of a master in packet mode: TIOCPKT_… that it has not read yet.
  stopped: optional(bool(1002)), // Of a master: output of the other end is stopped (^S).
  slaves_closed: optional(bool(1003)), // Of a master: the other end was open, and nobody has it open any more.
  slave_uid: optional(u32(1004)), // Of a master: owner and mode of the other end's device file.
  slave_gid: optional(u32(1005)),
  slave_mode: optional(u32(1006)),
  real_rdev: optional(u32(1007)), // Of /dev/tty: the terminal behind it.
  real_dev: optional(u32(1008)),
}))
export type tty_info_entry = State<typeof tty_info_entry>

/** An open file description of a terminal. */
export const tty_file_entry = message('tty_file_entry', () => ({
  id: u32(1),
  tty_info_id: u32(2),
  flags: u32(3, hex),
  fown: inner(4, fown_entry),
  regf_id: optional(u32(6)), // The file id of its path; an external terminal has none.
}))
export type tty_file_entry = State<typeof tty_file_entry>

/** What was written to a terminal and not yet read. */
export const tty_data_entry = message('tty_data_entry', () => ({
  tty_id: u32(1), // A tty_info_entry's id.
  data: bytes(2),
  line_ends: repeated(u32(1000)), // In canonical mode: how far into data each whole line reaches.
  eof_ends: repeated(u32(1001)), // Those of them whose last byte is the character for the end of the file.
  unprocessed: optional(u32(1002)), // From where on the line discipline has not seen the bytes.
}))
export type tty_data_entry = State<typeof tty_data_entry>
