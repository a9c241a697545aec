/**
 * Where the programs of this package are: the engine, the keeper and the workers, found from wherever this module
 * itself runs (source by type stripping, `dist/src` of the library build, a bundle in `dist/bin`). Whoever starts one of
 * them asks here. It reads package.json and computes paths; it starts nothing.
 *
 * `dist/src` answers with the bundles too: they start faster, and a store then has one kind of engine.
 */
import { existsSync, readFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"

/** The folders between this module and the package's root are few: source 2, `dist/src` 3, a bundle 2. */
const PARENTS_MAX = 5

const here = dirname(fileURLToPath(import.meta.url))
/** REPRISE_BUILT: code that runs from its sources starts the built programs. For tests, which start hundreds. */
const fromSource = import.meta.url.endsWith(".ts") && process.env.REPRISE_BUILT === undefined

const findRoot = (): { readonly root: string; readonly version: string } => {
  let folder = here
  for (let parents = 0; parents < PARENTS_MAX; parents++) {
    const file = join(folder, "package.json")
    if (existsSync(file)) {
      const manifest = JSON.parse(readFileSync(file, "utf8"))
      if (manifest.name === "reprise") return { root: folder, version: String(manifest.version) }
    }
    folder = dirname(folder)
  }
  return { root: here, version: "0.0.0" }
}

const { root, version } = findRoot()

/** Version of this package, as `--version` and the engine's status tell it. */
export const packageVersion: string = version

const entry = (source: string, bundle: string): string =>
  fromSource ? join(root, source) : join(root, "dist", "bin", bundle)

/** The engine process (`engine.ts`). */
export const engineEntry: string = entry("src/remote/engine.ts", "engine.js")
/** The keeper process. */
export const keeperEntry: string = entry("src/keeper/main.ts", "keeper.js")
/** The worker thread that runs the terminal emulator. */
export const screenWorkerEntry: string = entry("projections/ScreenWorker.ts", "screen-worker.js")
/** The worker thread that searches. */
export const searchWorkerEntry: string = entry("src/search/SearchWorker.ts", "search-worker.js")
/** A program that runs inside an exec session (`driver.bash` …): a file of its own, beside the bundles. */
export const driverFile = (program: string): string => entry(`src/exec/${program}`, program)
/** The script in bundles of evidence: it is copied, not run from here. */
export const verifyScript: string = entry("src/evidence/verify.mjs", "verify.mjs")

/** The script of exported pages (export/player). Browsers run no TypeScript, so it is always the built one. */
export const playerScript: string = join(root, "dist", "bin", "player.js")
