// `npm run build`: makes dist/bardo, or the file that is named behind it, one executable with the runtime in it.
// A link or a copy of it called `criu` behaves as criu.
import { copyFileSync, mkdirSync, renameSync, rmSync, statSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { FREEZE_OPTIONS, RUNTIME_OPTIONS, WITHOUT_DIRECTORY } from './runtime-options.ts'
import { setStart } from './start.ts'
import { alwaysWritten, trained } from './training.ts'
import { populate } from './written.ts'

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
const trial = `${fresh}.trial`
try {
  const frozen = await trained(fresh, FREEZE_OPTIONS)
  copyFileSync(fresh, trial)
  setStart(trial, { ...start, frozen })
  const advice = populate(await alwaysWritten(trial, frozen))
  setStart(fresh, { ...start, frozen: { ...frozen, advice: [...frozen.advice, ...advice] } })
} catch (error) {
  // Where nothing can be dumped or restored, an executable can still be built.
  console.log(`${outfile} will start slowly: ${error instanceof Error ? error.message : String(error)}`)
  setStart(fresh, start)
} finally {
  rmSync(trial, { force: true })
}
renameSync(fresh, outfile)
console.log(`${outfile}: ${(statSync(outfile).size / 1e6).toFixed(0)} MB`)
