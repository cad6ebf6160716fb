// `npm run build`: makes dist/bardo, or the file that is named behind it, one executable with the runtime in it.
// A link or a copy of it called `criu` behaves as criu.
import { mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { FREEZE_OPTIONS, RUNTIME_OPTIONS, WITHOUT_DIRECTORY } from './runtime-options.ts'
import { setStart } from './start.ts'
import { trained } from './training.ts'

const root = join(import.meta.dir, '..')
const outfile = resolve(process.argv[2] ?? join(root, 'dist/bardo'))
// Made beside and moved into place: whoever runs the old one meanwhile keeps a whole one.
const fresh = `${outfile}.${process.pid}`

mkdirSync(dirname(outfile), { recursive: true })
const result = await Bun.build({
  entrypoints: [join(root, 'src/cli/main.ts')],
  target: 'bun',
  // Bytecode: parsing the sources would cost more than the rest of the start. In parts, of which a command loads its own:
  // the runtime makes every function of a part when it is loaded, which cost 3 ms for all of them (docs/performance.md).
  format: 'esm',
  splitting: true,
  minify: true,
  bytecode: true,
  compile: {
    outfile: fresh,
    // A bunfig.toml or .env of the working directory would run with our rights (docs/decisions/runtime.md).
    autoloadBunfig: false,
    autoloadDotenv: false,
    autoloadTsconfig: false,
    autoloadPackageJson: false,
  },
  throw: false,
})
for (const message of result.logs) console.error(message.message)
if (!result.success) {
  rmSync(fresh, { force: true })
  process.exit(1)
}
const start = { variables: RUNTIME_OPTIONS, directory: WITHOUT_DIRECTORY }
try {
  const frozen = await trained(fresh, FREEZE_OPTIONS)
  setStart(fresh, { ...start, frozen })
} catch (error) {
  // Where nothing can be dumped or restored, an executable can still be built.
  console.log(`${outfile} will start slowly: ${error instanceof Error ? error.message : String(error)}`)
  setStart(fresh, start)
}
// Written anew, all at once: file systems keep a file in memory in pieces as large as those it was written in, and mapping and
// unmapping single pages made a whole run a fifth slower (ext4 since Linux 6.16; docs/decisions/frozen-start.md).
const whole = readFileSync(fresh)
rmSync(fresh)
writeFileSync(fresh, whole, { mode: 0o755 })
renameSync(fresh, outfile)
console.log(`${outfile}: ${(statSync(outfile).size / 1e6).toFixed(0)} MB`)
