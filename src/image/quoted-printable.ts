// Quoted-printable (RFC 2045, 6.7), as Python's `binascii.b2a_qp` writes it: crit prints socket names so.

const LINE_MAX = 76
const [TAB, NEWLINE, RETURN, SPACE, DOT, EQUALS, TILDE] = [0x09, 0x0a, 0x0d, 0x20, 0x2e, 0x3d, 0x7e]

export function quotedPrintable(data: Uint8Array): string {
  // The first line's ending decides for all of them.
  const firstEnd = data.indexOf(NEWLINE)
  const newline = firstEnd > 0 && data[firstEnd - 1] === RETURN ? '\r\n' : '\n'
  let out = ''
  let lineLength = 0
  for (let at = 0; at < data.length;) {
    const byte = data[at]!
    if (mustQuote(data, at, lineLength)) {
      if (lineLength + 3 >= LINE_MAX) {
        out += `=${newline}`
        lineLength = 0
      }
      out += quoted(byte)
      lineLength += 3
      at++
    } else if (byte === NEWLINE || (byte === RETURN && data[at + 1] === NEWLINE)) {
      // A blank in front of a line's end would be lost on its way.
      const last = out.charCodeAt(out.length - 1)
      if (last === SPACE || last === TAB) out = out.slice(0, -1) + quoted(last)
      out += newline
      lineLength = 0
      at += byte === RETURN ? 2 : 1
    } else {
      if (at + 1 < data.length && data[at + 1] !== NEWLINE && lineLength + 1 >= LINE_MAX) {
        out += `=${newline}`
        lineLength = 0
      }
      out += String.fromCharCode(byte)
      lineLength++
      at++
    }
  }
  return out
}

const quoted = (byte: number): string => `=${byte.toString(16).toUpperCase().padStart(2, '0')}`

function mustQuote(data: Uint8Array, at: number, lineLength: number): boolean {
  const byte = data[at]!
  const next = data[at + 1]
  if (byte > TILDE || byte === EQUALS) return true
  // A dot alone on a line ends a mail.
  if (byte === DOT && lineLength === 0) return next === undefined || next === NEWLINE || next === RETURN || next === 0
  if (byte === TAB || byte === SPACE) return next === undefined
  return byte < SPACE && byte !== RETURN && byte !== NEWLINE
}
