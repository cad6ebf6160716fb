// Draws docs/main-job.svg: the screen of a real run of the demo (`tools/bun tools/picture.ts`, as root).
import { writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { Terminal as Screen, type IBufferCell } from '@xterm/headless'
import { Terminal } from '../test/conformance/terminal.ts'

const root = dirname(import.meta.dir)
const [columns, rows] = [104, 60]
const [cellWidth, lineHeight, margin] = [7.83, 18, 16]

/** The screen of the demo, whose output goes to a terminal of ours. */
async function play(): Promise<Screen> {
  using terminal = new Terminal(rows, columns)
  const fd = terminal.slave
  const demo = Bun.spawn([join(root, 'tools/bun'), join(root, 'tools/demo.ts')], {
    stdin: 'ignore',
    stdout: fd,
    stderr: fd,
    cwd: root,
    env: { ...process.env, TERM: 'xterm', NO_COLOR: '' },
  })
  const reading = setInterval(() => terminal.heard(), 20)
  const status = await demo.exited
  clearInterval(reading)
  if (status !== 0) throw new Error(`the demo ended with ${status}:\n${terminal.heard()}`)
  const screen = new Screen({ cols: columns, rows, allowProposedApi: true })
  await new Promise<void>(resolve => screen.write(Buffer.from(terminal.heard(), 'latin1'), resolve))
  return screen
}

const escaped = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;')

const classOf = (cell: IBufferCell): string =>
  [cell.isBold() ? 'bold' : '', cell.isFgPalette() ? `c${cell.getFgColor()}` : ''].filter(name => name !== '').join(' ')

/** A line as spans of one look each. */
function spansOf(screen: Screen, y: number): string {
  const line = screen.buffer.active.getLine(y)
  if (line === undefined) return ''
  const spans: { look: string; text: string }[] = []
  const end = line.translateToString(true).length
  for (let x = 0; x < end; x++) {
    const cell = line.getCell(x)!
    const look = classOf(cell)
    const last = spans.at(-1)
    if (last?.look === look) last.text += cell.getChars() || ' '
    else spans.push({ look, text: cell.getChars() || ' ' })
  }
  return spans
    .map(({ look, text }) => (look === '' ? escaped(text) : `<tspan class="${look}">${escaped(text)}</tspan>`))
    .join('')
}

function draw(screen: Screen): string {
  let count = screen.buffer.active.length
  while (count > 0 && screen.buffer.active.getLine(count - 1)!.translateToString(true) === '') count--
  const [width, height] = [Math.ceil(columns * cellWidth + 2 * margin), count * lineHeight + 2 * margin]
  const lines = Array.from({ length: count }, (_, y) => spansOf(screen, y))
    .map((spans, y) => (spans === '' ? '' : `<text x="${margin}" y="${margin + 13 + y * lineHeight}">${spans}</text>`))
    .filter(line => line !== '')
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img">
<title>Bardo moves sleep and a Python REPL from one terminal to another</title>
<style>
rect { fill: #ffffff; stroke: #d0d7de }
text { font: 13px ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; fill: #1f2328; white-space: pre }
.bold { font-weight: 600 } .c1 { fill: #cf222e } .c2 { fill: #116329 } .c6 { fill: #0550ae }
@media (prefers-color-scheme: dark) {
  rect { fill: #0d1117; stroke: #30363d } text { fill: #e6edf3 }
  .c1 { fill: #ff7b72 } .c2 { fill: #7ee787 } .c6 { fill: #79c0ff }
}
</style>
<rect x="0.5" y="0.5" width="${width - 1}" height="${height - 1}" rx="8"/>
${lines.join('\n')}
</svg>
`
}

writeFileSync(join(root, 'docs/main-job.svg'), draw(await play()))
console.log('wrote docs/main-job.svg')
process.exit(0)
