/**
 * Builds `dist`: the library (JavaScript and types, one file for each source file) and the programs (bundles with shared
 * chunks: a program that is one of a few files starts several times faster than one of hundreds). Run by
 * `npm run build` and, through `prepare`, by `npm ci`. The same sources give the same files. Quiet when all is well.
 */
import { execFileSync } from "node:child_process"
import { chmodSync, existsSync, rmSync, symlinkSync } from "node:fs"
import { dirname, join, relative } from "node:path"
import { fileURLToPath } from "node:url"
import { rolldown } from "rolldown"

const root = dirname(fileURLToPath(import.meta.url))
const bin = join(root, "dist", "bin")

/** Programs by the name that `src/remote/EntryPoints.ts` knows them by. */
const PROGRAMS = {
  reprise: "cli/main.ts",
  engine: "src/remote/engineMain.ts",
  keeper: "src/keeper/main.ts",
  "screen-worker": "projections/ScreenWorker.ts"
}

/** They load native code or files beside their own, so they stay where npm put them. */
const NATIVE_PACKAGES = [/^node-pty(\/|$)/, /^koffi(\/|$)/, /^level(\/|$)/, /^classic-level(\/|$)/]

/** Types are checked by `npm run check`; here they are only written. */
const buildLibrary = (): void => {
  const compiler = join(root, "node_modules/typescript/bin/tsc")
  execFileSync(process.execPath, [compiler, "-p", join(root, "tsconfig.build.json"), "--noCheck"], {
    cwd: root,
    stdio: "inherit"
  })
}

const buildPrograms = async (): Promise<void> => {
  const bundle = await rolldown({
    cwd: root,
    input: PROGRAMS,
    platform: "node",
    external: NATIVE_PACKAGES,
    // Nothing of Effect and of this package runs when it is loaded, so what is not used is left out.
    treeshake: true,
    logLevel: "warn"
  })
  await bundle.write({
    dir: bin,
    format: "esm",
    entryFileNames: "[name].js",
    chunkFileNames: "[name]-[hash].js",
    // Half the size is measurably less to read and compile; names stay, for stacks in the engine's log.
    minify: { compress: true, mangle: false, codegen: { removeWhitespace: true } }
  })
  await bundle.close()
}

/**
 * npm links the programs of what it installs, but not those of the project itself: with this link `npx reprise` works in
 * a checkout as it does elsewhere.
 */
const linkProgram = (): void => {
  const program = join(bin, "reprise.js")
  chmodSync(program, 0o755)
  const linked = join(root, "node_modules", ".bin", "reprise")
  if (!existsSync(dirname(linked))) return
  rmSync(linked, { force: true })
  symlinkSync(relative(dirname(linked), program), linked)
}

const main = async (): Promise<void> => {
  for (const source of Object.values(PROGRAMS)) {
    if (!existsSync(join(root, source))) throw new Error(`build: ${source} is missing`)
  }
  rmSync(join(root, "dist"), { recursive: true, force: true })
  await buildPrograms()
  buildLibrary()
  linkProgram()
}

await main()
